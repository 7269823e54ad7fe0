"""aam ("Attention All Microbes"): deep models for microbiome amplicon data, with every epoch a fact."""

__version__ = "0.1.0"
