"""Mixtures drawn anew in each epoch, from the utterances of an index that preprocess.py made of LibriMix's metadata.

They are made as LibriMix makes its own (mixtures.py): each voice is brought to a loudness (ITU-R BS.1770, of the whole
utterance) drawn between -33 and -25 LUFS, and the noise to one 5 LU lower; a voice that would clip gets a peak of 0.9,
and so does a mixture whose peak is above that. The speakers of a mixture are drawn first, all alike and never one
twice, then an utterance of each, then where its crop begins. So a speaker of few utterances is heard as often as any.
"""

import os
import warnings

import numpy as np
import pyloudnorm

from common.audio import AudioInfo, audio_info, decode
from common.errors import UserError
from common.numbers import ceil_div
from corpus.index import Index, segment_samples
from corpus.mixtures import FIT, RATE, Track, heard_and_asked, noise_info, read_noise, read_speaker
from corpus.names import speaker_of

SPEECH_LUFS = (-33.0, -25.0)
NOISE_LUFS = (-38.0, -30.0)
LARGEST_PEAK = 0.9
EPOCH = 2**32  # examples are numbered on from epoch * EPOCH


class DynamicMixtures(Index):
    """Examples of training, each of which depends on the seed, the epoch and its own number alone.

    Args:
        index: of mixtures that are computed from LibriSpeech, a MixtureIndex.
        seed: of all that is drawn.
        speed_change: the most, in percent, that a voice is made faster or slower, its pitch with it.

    It has no `names` and `lengths`, which only what is drawn has. Raises UserError if the index is of another kind, or
    if its files do not tell who speaks.
    """

    def __init__(self, index: Index, seed: int, speed_change: int = 0):
        if index.librispeech_dir is None:
            raise UserError(
                f"--dynamic_mixing: {index.path} holds finished mixtures; index LibriSpeech itself, by preprocess.py"
                " --librispeech-dir and --metadata-dir without --generate"
            )
        self.index, self.seed, self.speed_change = index, seed, speed_change
        self.path, self.sample_rate, self.sources = index.path, index.sample_rate, index.sources
        self.voices = 1 if index.task == "enh_single" else index.speakers
        of_speaker = {}
        for number, (path, _) in enumerate(index.speech):
            of_speaker.setdefault(_speaker(path), []).append(number)
        self.utterances = list(of_speaker.values())  # of each speaker, their numbers
        if len(self.utterances) < self.voices:
            raise UserError(f"--dynamic_mixing: {index.path} has {len(self.utterances)} speakers, fewer than a mixture")
        self._loudness = {}  # path: (LUFS, peak) of the whole file; measured when first needed

    def examples(self, epoch: int, samples: int, random: np.random.Generator | None = None) -> np.ndarray:
        """Rows (number, 0, `samples`) of an epoch, int64: as many as the mixtures of the index would give.

        They are drawn with the seed, in no other order; `random` is not used.
        """
        count = int(ceil_div(self.index.lengths, samples).sum())
        numbers = epoch * EPOCH + np.arange(count)
        return np.stack([numbers, np.zeros_like(numbers), np.full_like(numbers, samples)], axis=1)

    def describe(self, segment: float = -1, cv_maxlen: float | None = None) -> str:
        """Say in one line how many examples of `segment` seconds an epoch has, and what they are drawn from."""
        count = len(self.examples(0, segment_samples(segment, self.sample_rate)))
        return (
            f"{count} examples of {segment:g} s an epoch, each drawn anew: {self.voices} of"
            f" {len(self.utterances)} speakers with {len(self.index.speech)} utterances"
            + (f", and one of {len(self.index.noise)} noises" if self.index.noise else "")
        )

    def read(self, number: int, start: int, length: int) -> np.ndarray:
        """Draw an example: float32 [1 + C, T], mixture first, then its sources.

        T is `length`, or the samples of the shortest utterance (min mode) or of the longest (max) if that has fewer.
        `start` is 0. Raises UserError if a file is unfit.
        """
        random, tracks = self._begin(number)
        speeds = 100 + random.integers(-self.speed_change, self.speed_change, self.voices, endpoint=True)
        samples = [  # that each voice lasts
            AudioInfo(frames, RATE * int(speed) // 100).frames_at(self.sample_rate)
            for (_, frames), speed in zip(tracks, speeds, strict=True)
        ]
        length = min(length, FIT[self.index.mode](samples))
        speakers = []
        for (path, frames), speed, there in zip(tracks, speeds, samples, strict=True):
            track = Track(path, self._gain(path, random.uniform(*SPEECH_LUFS)), frames)
            first = int(random.integers(0, max(0, there - length), endpoint=True))
            speakers.append(read_speaker(track, self.sample_rate, first, length, int(speed)))
        noise = self._noise(random, length) if self.index.noise else None
        audio = heard_and_asked(self.index.task, speakers, noise)
        return audio * np.float32(LARGEST_PEAK / max(np.abs(audio[0]).max(), LARGEST_PEAK))

    def name(self, number: int) -> str:
        """The utterances that an example is drawn from, by the names of their files."""
        return "_".join(os.path.splitext(os.path.basename(path))[0] for path, _ in self._begin(number)[1])

    def _begin(self, number: int) -> tuple[np.random.Generator, list[tuple[str, int]]]:
        """What an example is drawn with, and what is drawn first: the utterances of its speakers, (path, frames)."""
        random = np.random.default_rng([self.seed, *divmod(number, EPOCH)])
        chosen = random.choice(len(self.utterances), self.voices, replace=False)
        return random, [self.index.speech[random.choice(self.utterances[speaker])] for speaker in chosen]

    def _noise(self, random: np.random.Generator, length: int) -> np.ndarray:
        """A stretch of a noise: float32 [length]. A file that is shorter is extended."""
        path = self.index.noise[random.integers(len(self.index.noise))]
        needed = ceil_div(length * RATE, self.sample_rate)
        frames = max(needed, noise_info(path, needed).frames)
        there = AudioInfo(frames, RATE).frames_at(self.sample_rate)
        track = Track(path, self._gain(path, random.uniform(*NOISE_LUFS)))
        return read_noise(track, frames, self.sample_rate, int(random.integers(there - length, endpoint=True)), length)

    def _gain(self, path: str, loudness: float) -> float:
        """The gain that brings a file to this loudness in LUFS, or to the largest peak if that would clip."""
        if path not in self._loudness:
            self._loudness[path] = measure_loudness(path)
        own, peak = self._loudness[path]
        gain = 10 ** ((loudness - own) / 20)
        return gain if gain * peak < 1 else LARGEST_PEAK / peak


def measure_loudness(path: str | os.PathLike) -> tuple[float, float]:
    """Integrated loudness in LUFS and peak of a file. Raises UserError if it is unfit, silent or below 0.4 s."""
    info = audio_info(path, channel=1)
    samples = decode(path, 0, info.frames)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the logarithm of zero
            loudness = pyloudnorm.Meter(info.sample_rate).integrated_loudness(samples.astype(np.float64))
    except ValueError:
        raise UserError(f"{path}: {info.frames} samples, too few to measure their loudness; leave it out") from None
    if not np.isfinite(loudness):
        raise UserError(f"{path}: is silent, so it has no loudness; leave it out")
    return loudness, float(np.abs(samples).max())


def _speaker(path: str) -> str:
    """The number of the speaker that the name of a LibriSpeech file begins with."""
    if (speaker := speaker_of(path)) is None:
        raise UserError(f"--dynamic_mixing: {path}: its name does not tell the speaker, as in 103-1240-0000.flac")
    return speaker
