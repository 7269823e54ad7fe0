"""A cross-validation, joined from the facts of its runs: which, how good, and for people."""
