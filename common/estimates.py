"""What separated signals lack: their order, and their levels; that they are numbers at all, and no silence."""

import numpy as np

from common.errors import UserError


def require_finite(estimates: np.ndarray) -> None:
    """Raise UserError if a network's estimates are not all finite."""
    if not np.isfinite(estimates).all():
        raise UserError("the network gives NaN or infinite samples; take a checkpoint from before that")


def is_silent(signals: np.ndarray) -> np.ndarray:
    """Which of the signals [S, T] are constant, so that no SI-SNR against them exists: bool [S]."""
    return np.ptp(signals, axis=-1) == 0


def best_permutation(values: np.ndarray) -> np.ndarray:
    """Assign one estimate to each source so that their `values` [C, C] (source, estimate) are highest in sum.

    Returns int [C]: the estimate, from 0, of each source.
    """
    from scipy.optimize import linear_sum_assignment  # a tenth of a second, for what has several pieces

    return linear_sum_assignment(values, maximize=True)[1]


def mixture_gains(estimates: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """Gains g [C] that minimise the energy of mixture [T] - sum of g[c] estimates[c] [C, T].

    Where estimates are so alike that the mixture does not tell their gains apart (correlation above about 0.98), or
    silent, they keep the levels that the network gave them to each other.
    """
    estimates, mixture = estimates.astype(np.float64), mixture.astype(np.float64)
    total = estimates.sum(axis=0)
    common = mixture @ total / max(total @ total, np.finfo(np.float64).tiny)
    norms = np.linalg.norm(estimates, axis=1)
    norms[norms == 0] = 1
    directions = estimates / norms[:, np.newaxis]  # [C, T]
    remainder = mixture - common * total
    correction = np.linalg.pinv(directions @ directions.T, rcond=0.01, hermitian=True) @ (directions @ remainder)
    return common + correction / norms
