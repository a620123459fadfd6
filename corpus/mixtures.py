"""LibriMix's mixtures, computed from LibriSpeech and noise files while they are read: whole, or any stretch of one.

Each source is multiplied by its gain, resampled from 16 kHz by `scipy.signal.resample_poly`, cut to the shortest (min)
or zero-padded to the longest (max), and added. The noise is first cut or extended to the longest source, so it never
is the shortest, and the speakers come out the same with and without it. The arithmetic is that of Cosentino et al.
2020, "LibriMix: An Open-Source Dataset for Generalizable Speech Separation", arXiv 2005.11262.

A task is what is heard and what is asked for, as LibriMix's users name it:

    sep_clean   all speakers             each of them
    sep_noisy   all speakers and noise   each of them
    enh_single  first speaker and noise  the first speaker
    enh_both    all speakers and noise   all speakers together
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.audio import AudioInfo, audio_info, decode, resampled
from common.errors import UserError

RATE = 16000  # of LibriSpeech and of the noise
GAINS = (1e-5, 1e5)  # the least and the most that is believed: LibriMix's own are 0.08 to 13
FIT = {"min": min, "max": max}
TASKS = {"sep_clean": "mix_clean", "sep_noisy": "mix_both", "enh_single": "mix_single", "enh_both": "mix_both"}


@dataclass(frozen=True)
class Track:
    """A voice or noise of a mixture: its file, the gain it is multiplied by, and the samples of a voice at 16 kHz."""

    path: str
    gain: float
    frames: int | None = None


@dataclass(frozen=True)
class Mixture:
    """The speakers of a mixture and its noise, None where there is none."""

    name: str
    speakers: tuple[Track, ...]
    noise: Track | None

    def samples(self, mode: str, sample_rate: int) -> int:
        """How long the mixture is at `sample_rate` Hz."""
        frames = FIT[mode](track.frames for track in self.speakers)
        return AudioInfo(frames, RATE).frames_at(sample_rate)

    def read(
        self, sample_rate: int, start: int, length: int, voices: int | None = None
    ) -> tuple[list[np.ndarray], np.ndarray | None]:
        """Samples `start` to `start + length` of the first `voices` speakers (None: all) and of the noise.

        Returns a list of float32 [length], and float32 [length] or None. Raises UserError if a file is unfit.
        """
        speakers = [read_speaker(track, sample_rate, start, length) for track in self.speakers[:voices]]
        longest = max(track.frames for track in self.speakers)
        noise = self.noise and read_noise(self.noise, longest, sample_rate, start, length)
        return speakers, noise


def read_speaker(track: Track, sample_rate: int, start: int, length: int, speed: int = 100) -> np.ndarray:
    """Samples `start` to `start + length` of a voice, times its gain, at `sample_rate` Hz: float32 [length].

    What lies beyond its end is zero. It speaks at `speed` percent of its own, its pitch raised or lowered as much.
    Raises UserError if the file is unfit, or has not as many samples as it is believed to have.
    """
    info = audio_info(track.path)
    if info != AudioInfo(track.frames, RATE):
        raise UserError(
            f"{track.path}: {info.frames} samples of {info.sample_rate} Hz, expected {track.frames} of {RATE} Hz; if"
            " that is what it should be, run preprocess.py again"
        )
    played = AudioInfo(track.frames, RATE * speed // 100)
    inside = max(0, min(length, played.frames_at(sample_rate) - start))
    samples = np.zeros(length, np.float32)
    if inside:
        samples[:inside] = resampled(
            lambda first, stop: decode(track.path, first, stop) * np.float32(track.gain),
            played,
            sample_rate,
            start,
            inside,
        )
    return samples


def read_noise(track: Track, longest: int, sample_rate: int, start: int, length: int) -> np.ndarray:
    """Samples `start` to `start + length` of a noise, times its gain, at `sample_rate` Hz: float32 [length].

    The first channel of the file, cut or extended to the `longest` speaker's samples at 16 kHz. Raises UserError if
    the file is unfit.
    """
    info = noise_info(track.path, longest)

    def read(first: int, stop: int) -> np.ndarray:
        if info.frames >= longest:
            samples = decode(track.path, first, stop)
        else:
            samples = extend_noise(decode(track.path, 0, info.frames), longest)[first:stop]
        return samples * np.float32(track.gain)

    return resampled(read, AudioInfo(longest, RATE), sample_rate, start, length)


def noise_info(path: str | os.PathLike, longest: int) -> AudioInfo:
    """The header of a noise file. Raises UserError unless it can be cut or extended to `longest` samples at 16 kHz."""
    info = audio_info(path, channel=1)
    if info.sample_rate != RATE:
        raise UserError(f"{path}: {info.sample_rate} Hz, expected noise of {RATE} Hz; resample it")
    if info.frames < longest and info.frames <= RATE // 2 + 1:
        raise UserError(f"{path}: {info.frames} samples; noise must last over half a second to be extended")
    return info


def extend_noise(noise: np.ndarray, length: int) -> np.ndarray:
    """Repeat noise [frames] until it has `length` samples, joined as LibriMix joins it.

    Each join overlaps 8001 samples, where the halves of a one-second Hann window fade the end out and the start in.
    """
    fade_in = np.hanning(RATE + 1)[: RATE // 2 + 1]
    overlap = len(fade_in)
    extended = noise
    while len(extended) < length:
        join = extended[-overlap:] * fade_in[::-1] + noise[:overlap] * fade_in
        extended = np.concatenate((extended[:-overlap], join, noise[overlap:]))
    return extended[:length].astype(np.float32)


def heard_and_asked(task: str, speakers: Sequence[np.ndarray], noise: np.ndarray | None) -> np.ndarray:
    """Make the mixture of a task and its sources from speakers and noise, float32 [T].

    Returns float32 [1 + C, T], the mixture first.
    """
    clean = sum(speakers)
    mixture = clean if task == "sep_clean" else clean + noise
    return np.stack([mixture, *([clean] if task == "enh_both" else speakers)])
