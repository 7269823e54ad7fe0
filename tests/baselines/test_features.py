"""Shares, log-ratios and distances: against scikit-bio and scipy."""

import numpy as np
from scipy.sparse import csr_matrix
from scipy.spatial.distance import cdist

from aam.baselines.features import bray_curtis, centred_log_ratios, relative_abundances

COUNTS = np.random.default_rng(0).poisson(0.7, (12, 30)) * 5 + np.eye(12, 30, dtype=int)


def test_relative_abundances() -> None:
    shares = relative_abundances(csr_matrix([[1, 3, 0], [0, 0, 0]]))
    assert shares.toarray().tolist() == [[0.25, 0.75, 0.0], [0.0, 0.0, 0.0]]


def test_centred_log_ratios_equal_scikit_bio() -> None:
    from skbio.stats.composition import clr

    for pseudocount in (0.5, 1.0):
        ours = centred_log_ratios(csr_matrix(COUNTS), pseudocount)
        np.testing.assert_allclose(ours, clr(COUNTS + pseudocount), atol=1e-12)


def test_bray_curtis_equals_scipy() -> None:
    shares = relative_abundances(csr_matrix(COUNTS)).toarray()
    ours = bray_curtis(shares[:5], shares)
    np.testing.assert_allclose(ours, cdist(shares[:5], shares, "braycurtis"), atol=1e-12)
    assert bray_curtis(np.eye(3), np.eye(3)).tolist() == (1 - np.eye(3)).tolist()
