"""From a run and a table to predictions: every sample gets one, or a reason."""
