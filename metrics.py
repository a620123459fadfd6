"""How good separated speech is, in decibels: SI-SNR, SDR and which estimate is of which source.

Values are limited to +-100 dB, so that a perfect or a silent estimate has a number too. A silent source has no
meaningful one: see `is_silent`.
"""

import numpy as np
from fast_bss_eval import sdr_loss
from scipy.optimize import linear_sum_assignment

LIMIT_DB = 100
SDR_TAPS = 512


def si_snr(sources, signals):
    """Scale-invariant signal-to-noise ratio (Luo and Mesgarani 2019, section II-D; the means are removed first).

    Args:
        sources: true ones [C, T].
        signals: what to compare with each of them [S, T].

    Returns dB [C, S], float64.
    """
    return -sdr_loss(
        _scaled(signals), _scaled(sources), filter_length=1, zero_mean=True, pairwise=True, clamp_db=LIMIT_DB
    )


def sdr(sources, signals):
    """Signal-to-distortion ratio of BSS Eval (Vincent et al. 2006): a filter of 512 taps on a source is forgiven.

    Takes and returns what `si_snr` does.
    """
    # fast_bss_eval's correlations wrap around where signals are shorter than the filter.
    padding = ((0, 0), (0, max(0, SDR_TAPS - sources.shape[-1])))
    sources, signals = np.pad(_scaled(sources), padding), np.pad(_scaled(signals), padding)
    return -sdr_loss(signals, sources, filter_length=SDR_TAPS, pairwise=True, clamp_db=LIMIT_DB)


def best_permutation(values):
    """Assign one estimate to each source so that their `values` [C, C] (source, estimate) are highest in sum.

    Returns int [C]: the estimate, from 0, of each source.
    """
    return linear_sum_assignment(values, maximize=True)[1]


def is_silent(signals):
    """Which of the signals [S, T] are constant, so that no SI-SNR against them exists: bool [S]."""
    return np.ptp(signals, axis=-1) == 0


def _scaled(signals):
    """Peaks of 1 in float64: fast_bss_eval takes what is quieter than 1e-6 for silence."""
    signals = np.asarray(signals, np.float64)
    return signals / np.maximum(np.abs(signals).max(axis=-1, keepdims=True), np.finfo(np.float64).tiny)
