"""Attention All Microbes: deep models for microbiome amplicon data, every epoch a fact."""

__version__ = "0.1.0"
