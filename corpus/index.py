"""What an index answers, wherever its mixtures come from, and how they are cut into examples of one length."""

import math

import numpy as np

from common.errors import UserError
from common.numbers import ceil_div
from common.wording import count_of
from corpus.names import speaker_ids

MOST_SAMPLES = 2**31 - 1  # of a mixture: batches count them in 32 bits


class Index:
    """Mixtures and their sources, which can be read whole or in stretches.

    Attributes:
        path: of the folder or file that was opened.
        sample_rate: of what is read, in Hz.
        sources: how many a mixture has, C.
        names: of the mixtures, a list of text.
        lengths: samples of the mixtures at `sample_rate`, int64 [mixtures].
        librispeech_dir: LibriSpeech, where the mixtures are computed from it; None where they are finished.
    """

    librispeech_dir: str | None = None

    def __len__(self) -> int:
        return len(self.names)

    def name(self, number: int) -> str:
        """What the mixture of this number, from 0, is called."""
        return self.names[number]

    def read(self, number: int, start: int, length: int) -> np.ndarray:
        """Read a stretch, in samples, of a mixture and its sources: float32 [1 + C, length], the mixture first.

        Raises UserError if a file is unfit.
        """
        raise NotImplementedError

    def examples(self, epoch: int, samples: int, random: np.random.Generator | None = None) -> np.ndarray:
        """What an epoch of examples of so many samples consists of; what is shorter than that is one example.

        With `random`, as many crops of each mixture as would cover it, which start anywhere, in random order; else the
        mixtures cut at multiples of `samples`, in order. An index that draws its mixtures anew depends on `epoch`.

        Returns rows (number, start, length), int64 [examples, 3], to be read by `read`.
        """
        numbers = np.repeat(np.arange(len(self)), ceil_div(self.lengths, samples))
        lengths = self.lengths[numbers]
        if random is None:
            starts = np.concatenate([np.arange(0, length, samples) for length in self.lengths])
            return np.stack([numbers, starts, np.minimum(lengths - starts, samples)], axis=1)
        starts = random.integers(0, np.maximum(lengths - samples, 0), endpoint=True)
        return random.permutation(np.stack([numbers, starts, np.minimum(lengths, samples)], axis=1))

    def describe(self, segment: float = -1, cv_maxlen: float | None = None) -> str:
        """Say in one line how many mixtures and hours there are.

        Args:
            segment: seconds of an example, whose number is added; -1: whole mixtures.
            cv_maxlen: seconds; mixtures that are longer are counted as left out. None: all count.
        """
        within = self.within(cv_maxlen)
        text = f"{count_of(within.sum(), 'mixture')} of {count_of(self.sources, 'source')}"
        text += f", {self._hours(within):.2f} hours"
        if segment != -1:
            samples = segment_samples(segment, self.sample_rate)
            examples = ceil_div(self.lengths, samples).sum()
            text += f", {examples} examples of {segment:g} s, {np.sum(self.lengths < samples)} shorter"
        if not within.all():
            text += f"; {(~within).sum()} longer than {cv_maxlen:g} s left out, {self._hours(~within):.2f} hours"
        return text

    def within(self, seconds: float | None) -> np.ndarray:
        """Which mixtures are at most so long: bool [mixtures]; None: all."""
        return self.lengths <= (math.inf if seconds is None else seconds * self.sample_rate)

    def _hours(self, which: np.ndarray) -> float:
        return self.lengths[which].sum() / self.sample_rate / 3600

    def heard(self, number: int) -> list[str]:
        """The speakers who are heard in a mixture, as LibriSpeech numbers them; none if its name does not tell all."""
        named = speaker_ids(self.name(number))
        return named if len(named) == self.sources else []

    def require_sources(self, count: int, wanted_by: str) -> None:
        """Raise UserError unless the mixtures have so many sources. `wanted_by`: such as "--C is"."""
        if self.sources != count:
            raise UserError(
                f"{self.path}: {self.sources} sources in a mixture, but {wanted_by} {count}; take a set and a network"
                " of as many"
            )


def segment_samples(segment: float, sample_rate: int) -> int:
    """Samples in `segment` seconds. Raises UserError unless there is at least one."""
    if not (math.isfinite(segment) and segment * sample_rate >= 1):
        raise UserError(f"--segment {segment:g}: must be seconds above 0, or -1 for whole mixtures")
    return round(segment * sample_rate)
