"""Searching good settings by Optuna: ``aam-train --multirun hydra/sweeper=optuna …``."""

JOURNAL = "study.journal"
