"""Recordings at other rates: stretches resampled by soxr as if the whole were.

Up to 0.45 of the lower rate all is passed to 0.01 dB; what is above half of it is 120 dB down or more. Training data,
which must equal LibriMix's to the bit, are resampled by scipy (see `common.audio`), whose filter is less steep.
"""

from collections.abc import Callable

import numpy as np

from common.audio import AudioInfo, resampled

Reader = Callable[[int, int], np.ndarray]  # gives a stretch of a signal, asked for by two numbers

REACH = 128  # samples of the lower rate to each side; soxr's filter has fewer than 100


def at_rate(sample_rate: int, read: Reader, info: AudioInfo) -> Reader:
    """Resample a signal by stretches.

    Args:
        sample_rate: to which, in Hz.
        read: gives the signal's own samples read(first, stop), float32 [n] or [n, channels]; it is asked for no more of
            them than a stretch depends on.
        info: how many they are, and their rate.

    Returns read(start, length), which gives a stretch counted at `sample_rate` Hz, float32 [length] or [length,
    channels]; there are `info.frames_at(sample_rate)` samples in all.
    """
    return lambda start, length: resampled(read, info, sample_rate, start, length, resample, REACH)


def resample(samples: np.ndarray, up: int, down: int) -> np.ndarray:
    """Resample a whole signal, float32 [n] or [n, channels], by up / down: [n * up / down, rounded up, or more]."""
    import soxr  # for recordings of other rates alone

    silence = np.zeros((down // up + 1, *samples.shape[1:]), np.float32)  # soxr rounds to the nearest length
    return soxr.resample(np.concatenate([samples, silence]), down, up)
