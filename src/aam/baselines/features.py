"""What the baselines see of a sample: shares, log-ratios, distances.

Shapes: N samples, A ASVs, Q and R rows of two sets of samples.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Floats = NDArray[np.float64]


def relative_abundances(counts: csr_matrix) -> csr_matrix:
    """Each count as a share of its sample's reads, ``[N, A]``; a sample without reads is all 0.

    Sparse as the counts: of 20,000 samples and ASVs, all cells would be 3 GB.
    """
    reads_N = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    shares = counts.data / np.repeat(reads_N, np.diff(counts.indptr))
    return csr_matrix((shares, counts.indices, counts.indptr), shape=counts.shape)


def centred_log_ratios(counts: csr_matrix, pseudocount: float = 0.5) -> Floats:
    """``log(x) - mean(log(x))`` of each row, where x = count + pseudocount: ``[N, A]``.

    The centred log-ratio of Aitchison (1982), natural logarithm.
    """
    log_NA = np.log(counts.toarray() + pseudocount)
    centred: Floats = log_NA - log_NA.mean(axis=1, keepdims=True)
    return centred


def bray_curtis(left_QA: Floats, right_RA: Floats) -> Floats:
    """Bray–Curtis distances ``[Q, R]`` between relative abundances (Bray and Curtis 1957).

    Of rows that sum to 1, ``sum |p - q| / sum (p + q) = 1 - sum min(p, q)``, and only the ASVs that
    the left sample holds count: 10 to 30 times less work than over all ASVs.
    """
    right_AR = np.ascontiguousarray(right_RA.T)
    distances_QR = np.empty((len(left_QA), len(right_RA)))
    for row, share_A in enumerate(left_QA):
        held = np.flatnonzero(share_A)
        distances_QR[row] = 1 - np.minimum(share_A[held, None], right_AR[held]).sum(axis=0)
    return np.clip(distances_QR, 0.0, 1.0)
