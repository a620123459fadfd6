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

`preprocess.py --metadata-dir` writes mixtures.json, which `MixtureIndex` reads. It is an object of

    format      "mixtures"            version      1
    task, mode  as above              sample_rate  of the mixtures
    librispeech_dir, noise_dir        where the paths start; noise_dir is null where the task needs none
    speech      [path, samples at 16 kHz] of each file
    noise       path of each file
    mixtures    [name, [[row of speech, gain] of each speaker], [row of noise, gain] or null]
"""

import json
import os
from dataclasses import dataclass

import numpy as np

from common.audio import AudioInfo, audio_info, decode, resampled
from common.errors import UserError
from common.files import make_folder, whole_file
from index import FolderIndex, remove_earlier

RATE = 16000  # of LibriSpeech and of the noise
FIT = {"min": min, "max": max}
TASKS = {"sep_clean": "mix_clean", "sep_noisy": "mix_both", "enh_single": "mix_single", "enh_both": "mix_both"}
FILE = "mixtures.json"
VERSION = 1


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

    def samples(self, mode, sample_rate):
        """How long the mixture is at `sample_rate` Hz."""
        frames = FIT[mode](track.frames for track in self.speakers)
        return AudioInfo(frames, RATE).frames_at(sample_rate)

    def read(self, sample_rate, start, length, voices=None):
        """Samples `start` to `start + length` of the first `voices` speakers (None: all) and of the noise.

        Returns a list of float32 [length] and one such, or None. Raises UserError if a file is unfit.
        """
        speakers = [read_speaker(track, sample_rate, start, length) for track in self.speakers[:voices]]
        longest = max(track.frames for track in self.speakers)
        noise = self.noise and read_noise(self.noise, longest, sample_rate, start, length)
        return speakers, noise


def read_speaker(track, sample_rate, start, length, speed=100):
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


def read_noise(track, longest, sample_rate, start, length):
    """Samples `start` to `start + length` of a noise, times its gain, at `sample_rate` Hz: float32 [length].

    The first channel of the file, cut or extended to the `longest` speaker's samples at 16 kHz. Raises UserError if
    the file is unfit.
    """
    info = noise_info(track.path, longest)

    def read(first, stop):
        if info.frames >= longest:
            samples = decode(track.path, first, stop)
        else:
            samples = extend_noise(decode(track.path, 0, info.frames), longest)[first:stop]
        return samples * np.float32(track.gain)

    return resampled(read, AudioInfo(longest, RATE), sample_rate, start, length)


def noise_info(path, longest):
    """The header of a noise file. Raises UserError unless it can be cut or extended to `longest` samples at 16 kHz."""
    info = audio_info(path, channel=1)
    if info.sample_rate != RATE:
        raise UserError(f"{path}: {info.sample_rate} Hz, expected noise of {RATE} Hz; resample it")
    if info.frames < longest and info.frames <= RATE // 2 + 1:
        raise UserError(f"{path}: {info.frames} samples; noise must last over half a second to be extended")
    return info


def extend_noise(noise, length):
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


def heard_and_asked(task, speakers, noise):
    """The mixture of a task and its sources, of speakers and noise float32 [T]: float32 [1 + C, T], mixture first."""
    clean = sum(speakers)
    mixture = clean if task == "sep_clean" else clean + noise
    return np.stack([mixture, *([clean] if task == "enh_both" else speakers)])


def write_mixtures(folder, mixtures, task, mode, sample_rate, librispeech_dir, noise_dir):
    """Write mixtures.json into a folder, and remove an earlier index; the files of all Mixtures are below the two."""
    speech = {track.path: track.frames for mixture in mixtures for track in mixture.speakers}
    noise = list(dict.fromkeys(mixture.noise.path for mixture in mixtures if mixture.noise))
    speech_rows, noise_rows = ({path: row for row, path in enumerate(paths)} for paths in (speech, noise))
    content = {
        "format": "mixtures",
        "version": VERSION,
        "task": task,
        "mode": mode,
        "sample_rate": sample_rate,
        "librispeech_dir": os.path.abspath(librispeech_dir),
        "noise_dir": noise_dir and os.path.abspath(noise_dir),
        "speech": [[os.path.relpath(path, librispeech_dir), frames] for path, frames in speech.items()],
        "noise": [os.path.relpath(path, noise_dir) for path in noise],
        "mixtures": [
            [
                mixture.name,
                [[speech_rows[track.path], track.gain] for track in mixture.speakers],
                mixture.noise and [noise_rows[mixture.noise.path], mixture.noise.gain],
            ]
            for mixture in mixtures
        ],
    }
    make_folder(folder)
    with whole_file(os.path.join(folder, FILE)) as partial, open(partial, "w", encoding="utf-8") as file:
        json.dump(content, file)
    remove_earlier(folder, [FILE])


def open_folder(path, sample_rate):
    """The index in a folder, MixtureIndex or index.FolderIndex. Raises UserError as they do."""
    kind = MixtureIndex if os.path.isfile(os.path.join(path, FILE)) else FolderIndex
    return kind(path, sample_rate)


class MixtureIndex:
    """The mixtures of a mixtures.json, with the attributes and methods of `index.FolderIndex`.

    Attributes besides: `task`, `mode`, `librispeech_dir`, `speech` (pairs of path and samples at 16 kHz), `noise`
    (paths) and `together` (how many speakers are in a mixture).

    Raises UserError if the file is malformed, of another version or rate, or its first audio file is not there.
    """

    def __init__(self, path, sample_rate):
        self.path, self.sample_rate = path, sample_rate
        self.file = os.path.join(path, FILE)
        content = self._load()
        try:
            self._take(content)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise UserError(f"{self.file}: malformed ({error!r}); run preprocess.py again") from None
        self.speakers = 1 if self.task.startswith("enh") else self.together
        audio_info(self.speech[0][0])  # a corpus that has moved, or is not mounted, shows here

    def __len__(self):
        return len(self.names)

    def read(self, utterance, start, length):
        """Mix a stretch, in samples, of an utterance: float32 [1 + C, length], mixture first, then its sources.

        Raises UserError if one of its files is unfit.
        """
        voices = 1 if self.task == "enh_single" else None
        return heard_and_asked(self.task, *self.mixture(utterance).read(self.sample_rate, start, length, voices))

    def mixture(self, utterance):
        """The Mixture of this number."""
        voices = zip(self._voices[utterance].tolist(), self._gains[utterance].tolist(), strict=True)
        speakers = tuple(Track(self.speech[row][0], gain, self.speech[row][1]) for row, gain in voices)
        noise = Track(self.noise[self._noises[utterance]], float(self._noise_gains[utterance])) if self.noise else None
        return Mixture(self.names[utterance], speakers, noise)

    def _load(self):
        try:
            with open(self.file, encoding="utf-8") as stream:
                content = json.load(stream)
        except (OSError, ValueError) as error:
            raise UserError(f"{self.file}: cannot be read as JSON ({error}); run preprocess.py again") from None
        if not isinstance(content, dict) or content.get("format") != "mixtures":
            raise UserError(f"{self.file}: is not an index of mixtures; run preprocess.py again")
        if content.get("version") != VERSION:
            raise UserError(
                f"{self.file}: version {content.get('version')}, but this program knows {VERSION}; run its own"
                " preprocess.py again"
            )
        if content.get("sample_rate") != self.sample_rate:
            raise UserError(
                f"{self.file}: its mixtures have {content.get('sample_rate')} Hz, not {self.sample_rate}; run"
                f" preprocess.py with --sample-rate {self.sample_rate}"
            )
        return content

    def _take(self, content):
        """Take over what the file says, as arrays: Python objects of a large corpus would need far more memory."""
        self.task, self.mode = content["task"], content["mode"]
        if self.task not in TASKS or self.mode not in FIT:
            raise ValueError(f"task {self.task}, mode {self.mode}")
        self.librispeech_dir = root = content["librispeech_dir"]
        self.speech = [(os.path.join(root, path), int(frames)) for path, frames in content["speech"]]
        self.noise = [os.path.join(content["noise_dir"], path) for path in content["noise"]]
        self.names = [str(name) for name, _, _ in content["mixtures"]]
        voices = np.array([speakers for _, speakers, _ in content["mixtures"]], np.float64)  # [utterances, speakers, 2]
        self.together = voices.shape[1]
        self._voices, self._gains = voices[:, :, 0].astype(np.int64), voices[:, :, 1]
        frames = np.array([frames for _, frames in self.speech])[self._voices]  # [utterances, speakers]
        fitted = getattr(frames, self.mode)(axis=1)
        self.lengths = -(-fitted * self.sample_rate // RATE)
        if self.noise:
            noises = np.array([noise for _, _, noise in content["mixtures"]], np.float64)  # [utterances, 2]
            self._noises, self._noise_gains = noises[:, 0].astype(np.int64), noises[:, 1]
            if self._noises.max() >= len(self.noise):
                raise IndexError("a row of noise that is not there")
        if (self.task == "sep_clean") != (not self.noise) or not self.lengths.min() > 0:
            raise ValueError("noise, or a length")
