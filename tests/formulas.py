"""Formulas of papers, written out for the tests."""

import numpy as np


def paper_si_snr(source, estimate):
    """SI-SNR in dB of an estimate [T] (Luo and Mesgarani 2019, section II-D)."""
    source, estimate = source - source.mean(), estimate - estimate.mean()
    target = (estimate @ source) / (source @ source) * source
    return 10 * np.log10((target @ target) / ((estimate - target) @ (estimate - target)))
