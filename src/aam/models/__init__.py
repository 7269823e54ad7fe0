"""Models: they know tensors, no files, no config."""
