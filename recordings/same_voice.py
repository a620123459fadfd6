"""One voice or two: which estimates of a recording are of one voice, so that fewer speak than the network has outputs.

A network for two speakers gives two estimates of one, too: a copy, a quieter copy, or the words shared out among them.
Two estimates are of two voices where either is so:

- At once. The weaker of them holds what the stronger does not: in the same frames they have other spectra.
- In turns. Each leads for a while and is no copy: their waveforms do not correlate. Or each leads by so much that the
  other is what the network left in of it, whether that is a copy or not.

That is asked of stretches of 8 s, each of which shares half with the next. Estimates are of one voice only if none of
these says two, since a voice that is silenced is worse than a copy that is left in.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from recordings.activity import moving_means
from recordings.resampling import Reader
from recordings.voices import FRAME_SECONDS, LEAD, band_powers

STRETCH_SECONDS = 8.0
SHORTEST_SECONDS = 1.0  # of a recording; of shorter ones too little is known
MOST_LEFT_OUT = 10**-1.5  # of the recording's energy; if more is missing, it was noise
TINY = 1e-300
CLEAR_LEAD, CLEAR_FRAMES = 10**1.8, 8  # of powers, in the mean of so many frames, a quarter of a second
QUIET = 0.01  # of the power that a stretch mostly has: nobody leads below that


@dataclass(frozen=True)
class Limits:
    """Where two estimates are of one voice: set by hand on training voices, beside `scripts.measure_voices fit`.

    Attributes:
        most_other: dB of all power that the weaker holds and the stronger does not.
        least_copied: correlation of the waveforms, where one voice is shared out among both.
        longest_lead: seconds for which each leads, by 5 dB, where they are no copies.
        longest_clear_lead: seconds for which each leads, by 18 dB, where they are.
    """

    most_other: float = -22.0
    least_copied: float = 0.2
    longest_lead: float = 0.2
    longest_clear_lead: float = 0.65


LIMITS = Limits()


@dataclass(frozen=True)
class Measures:
    """What is held against `Limits`, each against the one of almost the same name."""

    other: float
    copied: float
    lead: float
    clear_lead: float

    def difference(self, limits: Limits = LIMITS) -> float:
        """How clearly they are of two voices; below 0 they are of one."""
        uncopied = min(1 - self.copied / limits.least_copied, self.lead / limits.longest_lead - 1)
        clear = self.clear_lead / limits.longest_clear_lead - 1
        return max((self.other - limits.most_other) / 10, uncopied, clear)


@dataclass(frozen=True)
class Voices:
    """What a recording's estimates are of.

    Attributes:
        groups: the estimates, from 0, of each voice.
        whole: whether the recording itself is put in place of its only voice.
    """

    groups: list[list[int]]
    whole: bool

    def written(self, estimates: np.ndarray, mixture: np.ndarray) -> np.ndarray:
        """What is written of a stretch [C, n], of a mixture [n]: a voice each, then silence; [C, n]."""
        kept = np.zeros_like(estimates)
        for place, group in enumerate(self.groups):
            kept[place] = mixture if self.whole else estimates[group].sum(axis=0)
        return kept


def same_voices(read: Reader, samples: int, sample_rate: int, speakers: int, wanted: int | None = None) -> Voices:
    """Which estimates of a recording are of the same voice.

    Args:
        read: gives the stretch read(start, length) of the mixture and of its C estimates, float32 [1 + C, length].
        samples: length of the recording, T.
        sample_rate: of these samples, in Hz.
        speakers: how many estimates there are, C.
        wanted: how many voices there are, from 1 to C, or None to find out.

    Where there are `wanted`, those are joined that are most alike. One voice is the recording itself, if the estimates
    leave out no more than 3 % of its energy. What is more is noise that the network took off, whose rests in the
    estimates are no voices; where it is to be found out, none are joined then.
    """
    groups = [[number] for number in range(speakers)]
    if wanted == speakers:
        return Voices(groups, whole=False)
    adds_up = left_out(read, samples, sample_rate) <= MOST_LEFT_OUT
    if wanted is None and (samples < SHORTEST_SECONDS * sample_rate or not adds_up):
        return Voices(groups, whole=False)
    while len(groups) > (wanted or 1):
        differences = difference_of_pairs(read, samples, sample_rate, groups)
        (first, second), least = min(differences.items(), key=lambda item: item[1])
        if wanted is None and not -np.inf < least < 0:
            break
        groups[first] = sorted(groups[first] + groups.pop(second))
    return Voices(groups, whole=adds_up and len(groups) == 1 < speakers)


def difference_of_pairs(
    read: Reader, samples: int, sample_rate: int, groups: list[list[int]]
) -> dict[tuple[int, int], float]:
    """The `difference` of each pair of voices, the highest of all stretches; a voice is a sum of estimates."""
    highest = dict.fromkeys(combinations(range(len(groups)), 2), -np.inf)
    for start, length in stretches(samples, sample_rate):
        estimates = read(start, length)[1:]
        voices = np.stack([estimates[group].sum(axis=0) for group in groups])
        for pair in highest:
            highest[pair] = max(highest[pair], difference(voices[list(pair)], sample_rate))
    return highest


def left_out(read: Reader, samples: int, sample_rate: int) -> float:
    """How much of a recording's energy its estimates do not add up to, read as `same_voices` reads them."""
    energies = np.zeros(2)
    for start, length in stretches(samples, sample_rate):
        mixture, *estimates = read(start, length).astype(np.float64)
        energies += np.sum((mixture - sum(estimates)) ** 2), np.sum(mixture**2)
    return energies[0] / max(energies[1], TINY)


def stretches(samples: int, sample_rate: int) -> Iterator[tuple[int, int]]:
    """First sample and length of the stretches of a recording that are looked at one by one."""
    length = round(STRETCH_SECONDS * sample_rate)
    for start in range(0, max(1, samples - length // 2), length // 2):
        yield start, min(length, samples - start)


def difference(pair: np.ndarray, sample_rate: int) -> float:
    """How clearly two estimates of a stretch, [2, n], are of two voices: below 0 they are of one, -inf is silence."""
    return measure(pair, sample_rate).difference() if pair.any() else -np.inf


def measure(pair: np.ndarray, sample_rate: int) -> Measures:
    """What two estimates of a stretch, [2, n], are like."""
    powers = band_powers(pair, sample_rate)  # [2, frames, bands]
    totals = powers.sum(axis=2, dtype=np.float64)  # [2, frames]
    likeness = np.sqrt(powers).prod(axis=0).sum(axis=1) / np.sqrt(np.maximum(totals.prod(axis=0), TINY))  # [frames]
    other = (totals.min(axis=0) * (1 - likeness)).sum() / max(totals.sum(), TINY)
    signals = pair.astype(np.float64)
    copied = abs(signals[0] @ signals[1]) / max(np.sqrt((signals**2).sum(axis=1).prod()), TINY)
    lead, clear_lead = seconds_in_lead(totals, LEAD), seconds_in_lead(moving_means(totals, CLEAR_FRAMES), CLEAR_LEAD)
    return Measures(10 * np.log10(max(other, 1e-10)), copied, lead, clear_lead)


def seconds_in_lead(powers: np.ndarray, lead: float) -> float:
    """For how long the estimate leads that does so for the shorter time; powers are [2, frames]."""
    both = powers.sum(axis=0)
    loud = both > QUIET * (both**2).sum() / max(both.sum(), TINY)
    return min((loud & (own > lead * other)).sum() for own, other in (powers, powers[::-1])) * FRAME_SECONDS / 2
