"""Who speaks when: where each estimate of a recording holds speech, from levels alone.

A voice speaks where its estimate is loud enough beside four things: how loud the same voice mostly is, how loud the
recording mostly is, how quiet the estimate becomes in pauses, and how loud the other estimates are there. What is far
below the last is what the network has left in of the other voices, and no speech.

Levels are gathered stretch by stretch: of an hour with two speakers they take 4 MB.
"""

from dataclasses import dataclass

import numpy as np

from common.numbers import ceil_div
from recordings.resampling import Reader

HOP_SECONDS = 0.01
HOPS_AT_ONCE = 1000
QUIETEST = 10  # percent of a recording, in which a voice makes a pause
FLOOR = 1e-7  # of the power that a recording mostly has; below that no levels are told apart


@dataclass(frozen=True)
class Rules:
    """What counts as speech: near what `python -m scripts.measure_voices fit` finds best for voices of the training.

    Attributes:
        own_range: dB that a frame may be below how loud its voice mostly is.
        recording_range: dB that it may be below how loud the recording mostly is.
        leak_range: dB that it may be below the loudest estimate there.
        above_noise: dB that it must be above what the voice's estimate falls to in a tenth of the time.
        rise: dB above all of these that a stretch of such frames must reach somewhere.
        window: seconds over which levels are means.
        pause: seconds; shorter ones within a voice's speech belong to it.
        shortest: seconds; what is shorter is no speech.
    """

    own_range: float = 32.0
    recording_range: float = 32.0
    leak_range: float = 8.0
    above_noise: float = 6.0
    rise: float = 2.0
    window: float = 0.05
    pause: float = 0.4
    shortest: float = 0.2


RULES = Rules()


@dataclass(frozen=True, order=True)
class Segment:
    """A stretch in which a voice speaks: from `start` to `end`, in seconds, and the number of the speaker, from 1."""

    start: float
    end: float
    speaker: int


def speech_segments(read: Reader, samples: int, sample_rate: int, rules: Rules = RULES) -> list[Segment]:
    """Where each estimate of a recording holds speech.

    Args:
        read: gives the stretch read(start, length) of the mixture and of its C estimates, float32 [1 + C, length].
        samples: length of the recording, T.
        sample_rate: of these samples, in Hz.
        rules: what counts as speech.

    Returns the segments in the order in which they begin. Those of one speaker neither overlap nor touch.
    """
    powers = gather_powers(read, samples, sample_rate)
    hop, seconds = _hop(sample_rate) / sample_rate, samples / sample_rate
    found = []
    for number, active in enumerate(activity(powers, hop, rules), 1):
        runs = [(first * hop, min(stop * hop, seconds)) for first, stop in _runs(active)]
        found += [Segment(start, end, number) for start, end in runs]
    return sorted(found)


def gather_powers(read: Reader, samples: int, sample_rate: int) -> np.ndarray:
    """Mean power of the signals in hops of 10 ms, read as `speech_segments` reads them: float32 [1 + C, hops]."""
    hop, powers = _hop(sample_rate), []
    for start in range(0, samples, HOPS_AT_ONCE * hop):
        signals = read(start, min(HOPS_AT_ONCE * hop, samples - start))  # [1 + C, n]
        signals = np.pad(signals, ((0, 0), (0, -signals.shape[1] % hop)))
        powers.append(np.mean(signals.reshape(len(signals), -1, hop) ** 2, axis=2))
    return np.concatenate(powers, axis=1)


def activity(powers: np.ndarray, hop: float, rules: Rules = RULES) -> np.ndarray:
    """Where voices speak: bool [C, hops], from the powers [1 + C, hops] in hops of so many seconds."""
    powers = moving_means(powers, max(1, round(rules.window / hop)))
    loudness = mostly(powers)  # [1 + C]
    floor = max(FLOOR * loudness[0], np.finfo(np.float32).tiny)
    mixture, estimates = loudness[0], powers[1:]
    active = np.zeros(estimates.shape, bool)
    for voice, power in enumerate(estimates):
        others = np.delete(estimates, voice, axis=0).max(axis=0, initial=0)  # [hops]
        lowest = max(_below(loudness[1 + voice], rules.own_range), _below(mixture, rules.recording_range), floor)
        noise = np.percentile(power, QUIETEST) * 10 ** (rules.above_noise / 10)
        least = np.maximum(max(lowest, noise), _below(others, rules.leak_range))
        certain = power > least * 10 ** (rules.rise / 10)
        for first, stop in _runs(power > least):
            active[voice, first:stop] = certain[first:stop].any()
        for first, stop in _runs(~active[voice]):
            if first > 0 and stop < len(power) and (stop - first) * hop < rules.pause:
                active[voice, first:stop] = True
        for first, stop in _runs(active[voice]):
            if (stop - first) * hop < rules.shortest:
                active[voice, first:stop] = False
    return active


def mostly(powers: np.ndarray) -> np.ndarray:
    """How loud signals mostly are: the power of a hop, weighted by itself, so that pauses do not count; [S]."""
    return (powers.astype(np.float64) ** 2).sum(axis=1) / np.maximum(powers.sum(axis=1, dtype=np.float64), 1e-30)


def _hop(sample_rate: int) -> int:
    return max(1, round(HOP_SECONDS * sample_rate))


def _below(power: np.ndarray, decibels: float) -> np.ndarray:
    return power * 10 ** (-decibels / 10)


def moving_means(powers: np.ndarray, width: int) -> np.ndarray:
    """Means of powers [S, hops] over so many hops about each."""
    padded = np.pad(powers, ((0, 0), (width // 2 + 1, ceil_div(width, 2) - 1)), mode="edge")
    sums = padded.cumsum(axis=1, dtype=np.float64)
    return (sums[:, width:] - sums[:, :-width]) / width


def _runs(active: np.ndarray) -> np.ndarray:
    """First indices, and those after the last, of the runs of True in a bool array: [runs, 2]."""
    return np.flatnonzero(np.diff(active, prepend=False, append=False)).reshape(-1, 2)
