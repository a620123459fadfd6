"""The folder of mix.json, s1.json, s2.json ... that preprocess.py writes: mixtures and sources that are files.

Each of these is a list of [path of an audio file, samples at the index's rate]; row i of all of them is one mixture.
"""

import json
import os
import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.audio import audio_info, read_audio
from common.errors import UserError
from common.files import list_folder, make_folder, whole_text, writing
from common.sequences import first_repeated
from corpus.index import MOST_SAMPLES, Index


@dataclass(frozen=True)
class MixtureFiles:
    """A mixture's file and then those of its sources, in `paths`, and the `samples` of each at the index's rate."""

    name: str
    paths: tuple[str, ...]
    samples: int


def write_index(folder: str, mixtures: Sequence[MixtureFiles]) -> None:
    """Write mix.json, s1.json ... of these mixtures into a folder, each file whole, and remove an earlier index."""
    make_folder(folder)
    names = ["mix", *(f"s{number}" for number in range(1, len(mixtures[0].paths)))]
    for number, name in enumerate(names):
        with whole_text(os.path.join(folder, f"{name}.json")) as file:
            json.dump([[mixture.paths[number], mixture.samples] for mixture in mixtures], file)
    remove_earlier(folder, [f"{name}.json" for name in names])


def remove_earlier(folder: str, written: Collection[str]) -> None:
    """Remove what an earlier index, of either kind, has left in the folder of the one just written."""
    for name in list_folder(folder):
        if re.fullmatch(r"(mix|mixtures|s\d+)\.json", name) and name not in written:
            with writing(os.path.join(folder, name)):
                os.remove(os.path.join(folder, name))


class FolderIndex(Index):
    """The mixtures of such a folder.

    Raises UserError if a file of the index is missing or malformed, if the files do not agree with each other, or if
    the lengths were counted at another rate.
    """

    def __init__(self, path: str | os.PathLike, sample_rate: int):
        self.path, self.sample_rate = path, sample_rate
        mixtures = _read_rows(os.path.join(path, "mix.json"))
        self.names = [_name(file) for file, _ in mixtures]
        self.lengths = np.array([length for _, length in mixtures], np.int64)
        tables = [mixtures]
        for number in range(1, _highest_source(path) + 1):
            file = os.path.join(path, f"s{number}.json")
            tables.append(_read_rows(file))
            _require_same_mixtures(file, tables[-1], mixtures)
        _require_different_files(path, tables)
        self.sources = len(tables) - 1
        self._files = [[file for file, _ in rows] for rows in zip(*tables, strict=True)]  # the mixture's first
        self._require_own_rate()

    def read(self, number: int, start: int, length: int) -> np.ndarray:
        """See `Index.read`. Raises UserError as `read_audio` of common.audio does."""
        expected = int(self.lengths[number])
        return np.stack([read_audio(file, self.sample_rate, start, length, expected) for file in self._files[number]])

    def _require_own_rate(self) -> None:
        """Compare the first mixture with its file: a wrong rate shows in every length, so one is enough."""
        file = self._files[0][0]
        found = audio_info(file).frames_at(self.sample_rate)
        if found != self.lengths[0]:
            raise UserError(
                f"{os.path.join(self.path, 'mix.json')}: gives {file} {self.lengths[0]} samples, but it has {found} at"
                f" {self.sample_rate} Hz; run preprocess.py with --sample-rate {self.sample_rate}"
            )


def _highest_source(path: str | os.PathLike) -> int:
    """The largest n of the files sn.json, at least 1."""
    found = (re.fullmatch(r"s([1-9]\d*)\.json", file) for file in os.listdir(path))
    return max((int(match[1]) for match in found if match), default=1)


def read_json(file: str) -> Any:
    """What a JSON file of an index says. Raises UserError if there is none, or it is not JSON."""
    try:
        with open(file, encoding="utf-8") as stream:
            return json.load(stream, object_pairs_hook=_object)
    except FileNotFoundError:
        raise UserError(
            f"{file}: no such file; make it by preprocess.py, and give the folder tr, cv or tt of its --out-dir"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file}: cannot be read as JSON ({error}); run preprocess.py again") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, which gives the last of two values of one name without a word."""
    if (number := first_repeated([name for name, _ in pairs])) is not None:
        raise ValueError(f"it has {pairs[number][0]} twice")
    return dict(pairs)


def _read_rows(file: str) -> list[list]:
    """The rows [path, samples] of one file of the index, no file of which is there twice."""
    rows = read_json(file)
    if not isinstance(rows, list) or not rows:
        raise UserError(f"{file}: not a list of mixtures, or an empty one; run preprocess.py again")
    for number, row in enumerate(rows):
        if not (isinstance(row, list) and [type(item) for item in row] == [str, int] and 0 < row[1] <= MOST_SAMPLES):
            raise UserError(
                f"{file}: row {number} is {str(row)[:200]}, not a path and its 1 to {MOST_SAMPLES} samples; run"
                " preprocess.py again"
            )
    if (number := first_repeated([os.path.abspath(path) for path, _ in rows])) is not None:
        raise UserError(f"{file}: row {number} is {rows[number][0]}, which an earlier row is too; remove one of them")
    return rows


def _require_same_mixtures(file: str, rows: list[list], mixtures: list[list]) -> None:
    if len(rows) != len(mixtures):
        raise UserError(f"{file}: {len(rows)} rows, but mix.json has {len(mixtures)}; run preprocess.py again")
    for number, ((source, length), (mixture, expected)) in enumerate(zip(rows, mixtures, strict=True)):
        if _name(source) != _name(mixture):
            raise UserError(
                f"{file}: row {number} is {source}, but that of mix.json is {mixture}; run preprocess.py again"
            )
        if length != expected:
            raise UserError(
                f"{file}: {source} has {length} samples, but its mixture {expected}; cut them to one length"
            )


def _require_different_files(folder: str | os.PathLike, tables: list[list[list]]) -> None:
    """Raise UserError if a file is two sources of one mixture, or the mixture and one of several sources.

    `tables`: the rows of the mixtures' files, then of each source's. The only source may be the mixture, already clean.
    """
    if len(tables) == 2:
        return
    for number, rows in enumerate(zip(*tables, strict=True)):
        files = [file for file, _ in rows]
        if (source := first_repeated([os.path.abspath(file) for file in files])) is not None:
            raise UserError(
                f"{os.path.join(folder, f's{source}.json')}: row {number} is {files[source]}, which is that mixture or"
                " another source of it too; run preprocess.py again"
            )


def _name(file: str) -> str:
    """What a file is called, its accents as parts of their letters, however the file system writes them."""
    return os.path.splitext(unicodedata.normalize("NFC", os.path.basename(file)))[0]
