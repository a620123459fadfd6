"""The folder of mixtures.json that preprocess.py writes of LibriSpeech: mixtures, computed while they are read.

mixtures.json is an object of

    format      "mixtures"            version      1
    task, mode  see mixtures.py       sample_rate  of the mixtures
    librispeech_dir, noise_dir        where the paths start; noise_dir is null where the task needs none
    speech      [path, samples at 16 kHz] of each file
    noise       path of each file
    mixtures    [name, [[row of speech, gain] of each speaker], [row of noise, gain] or null]
"""

import json
import os
from collections.abc import Sequence

import numpy as np

from common.audio import audio_info
from common.errors import UserError
from common.files import make_folder, whole_text
from common.numbers import ceil_div
from corpus.file_index import read_json, remove_earlier
from corpus.index import Index
from corpus.mixture_checks import require_names, require_speakers, rows_and_gains, samples_of
from corpus.mixtures import FIT, RATE, TASKS, Mixture, Track, heard_and_asked
from corpus.names import speaker_ids

FILE = "mixtures.json"
VERSION = 1


def write_mixtures(
    folder: str,
    mixtures: Sequence[Mixture],
    task: str,
    mode: str,
    sample_rate: int,
    librispeech_dir: str,
    noise_dir: str | None,
) -> None:
    """Write mixtures.json into a folder, and remove an earlier index.

    Args:
        folder: that is written to.
        mixtures: with the lengths of their speakers.
        task, mode: see mixtures.py.
        sample_rate: of the mixtures, in Hz.
        librispeech_dir, noise_dir: which hold all files of the mixtures; None for the noise where the task has none.
    """
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
    with whole_text(os.path.join(folder, FILE)) as file:
        json.dump(content, file)
    remove_earlier(folder, [FILE])


class MixtureIndex(Index):
    """The mixtures of a mixtures.json.

    Attributes besides those of `Index`: `task`, `mode`, `speech` (pairs of path and samples at 16 kHz), `noise` (paths)
    and `speakers` (how many are in a mixture).

    Raises UserError if the file is malformed, of another version or rate, or says what cannot be, or if its first audio
    file is not there.
    """

    def __init__(self, path: str | os.PathLike, sample_rate: int):
        self.path, self.sample_rate = path, sample_rate
        self.file = os.path.join(path, FILE)
        content = self._load()
        try:
            self._take(content)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise UserError(f"{self.file}: malformed ({error!r}); run preprocess.py again") from None
        self.sources = 1 if self.task.startswith("enh") else self.speakers
        audio_info(self.speech[0][0])  # a corpus that has moved, or is not mounted, shows here

    def read(self, number: int, start: int, length: int) -> np.ndarray:
        """See `Index.read`; the stretch is mixed from no more of the files than it needs."""
        voices = 1 if self.task == "enh_single" else None
        return heard_and_asked(self.task, *self.mixture(number).read(self.sample_rate, start, length, voices))

    def heard(self, number: int) -> list[str]:
        """See `Index.heard`: of one source, only the first speaker is heard (enh_single), or all are (enh_both)."""
        named = speaker_ids(self.name(number))
        if len(named) != self.speakers:
            return []
        return named[:1] if self.task == "enh_single" else named

    def mixture(self, number: int) -> Mixture:
        """The Mixture of this number."""
        voices = zip(self._voices[number].tolist(), self._gains[number].tolist(), strict=True)
        speakers = tuple(Track(self.speech[row][0], gain, self.speech[row][1]) for row, gain in voices)
        noise = Track(self.noise[self._noises[number]], float(self._noise_gains[number])) if self.noise else None
        return Mixture(self.names[number], speakers, noise)

    def _load(self) -> dict:
        content = read_json(self.file)
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

    def _take(self, content: dict) -> None:
        """Take over what the file says, as arrays: Python objects of a large corpus would need far more memory."""
        self.task, self.mode = content["task"], content["mode"]
        if self.task not in TASKS or self.mode not in FIT:
            raise ValueError(f"task {self.task}, mode {self.mode}")
        self.librispeech_dir = root = content["librispeech_dir"]
        speech, noise, mixtures = content["speech"], content["noise"], content["mixtures"]
        if not mixtures or (self.task == "sep_clean") != (not noise):
            raise ValueError(f"{len(mixtures)} mixtures and {len(noise)} noises of task {self.task}")
        frames = samples_of(self.file, speech)
        self.speech = [(os.path.join(root, path), samples) for path, samples in speech]
        self.noise = [os.path.join(content["noise_dir"], path) for path in noise]
        self.names = [name for name, _, _ in mixtures]
        require_names(self.file, self.names)
        voices = [speakers for _, speakers, _ in mixtures]
        self._voices, self._gains = rows_and_gains(self.file, self.names, "speech", voices, len(speech))
        self.speakers = self._voices.shape[1]
        require_speakers(self.file, self.names, [path for path, _ in speech], self._voices)
        fitted = getattr(frames[self._voices], self.mode)(axis=1)
        self.lengths = ceil_div(fitted * self.sample_rate, RATE)
        if noise:
            noises = [[track] for _, _, track in mixtures]
            rows, gains = rows_and_gains(self.file, self.names, "noise", noises, len(noise))
            self._noises, self._noise_gains = rows[:, 0], gains[:, 0]
