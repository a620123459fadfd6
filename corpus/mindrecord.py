"""MindRecord files (and FILE.db of each) in place of an index folder and its audio files: preprocess.py writes them.

A record is a mixture: `name`, `sample_rate`, `length` and `audio`, float32 [1 + C, length], mixture first. FILE.db
is MindRecord's own SQLite index; a table of ours in it, `written`, has the name and size that FILE must have, because
MindSpore crashes on some files that were cut short and reads the namesake, if there is one, of a file renamed. It also
has how many files, or shards, make up the set, and a fingerprint of the index that they were written from. Checksums
are there too (corpus/checksums.py); files of earlier versions have none, and are read with a line about it.

A set of several shards goes by the name that they begin with: train.rec for train.rec-0, train.rec-1 ...
"""

import glob
import hashlib
import os
import re
import shutil
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

import numpy as np
from mindspore.dataset import MindDataset, SubsetSampler
from mindspore.mindrecord import FileWriter
from mindspore.mindrecord.common.exceptions import MindRecordException
from tqdm import tqdm

from common.errors import UserError
from common.files import list_folder, temporary_folder
from common.wording import print_line, printable
from corpus.bad_files import BadFiles, Part
from corpus.checksums import Damaged, add_checksums, checked_records, require_sound
from corpus.index import Index
from corpus.names import require_utf8

PAGE_BYTES = 2**25  # MindRecord's default


def write_mindrecord(index: Index, path: str | os.PathLike, shards: int = 1, bad_files: BadFiles | None = None) -> int:
    """Write the mixtures of an index folder, with their audio, as so many MindRecord files.

    Each is written in a folder beside, under its own name (MindRecord does not bear renaming), read again and compared,
    then moved. Those that an interrupted run has written from the same index are kept. Mixtures whose files are bad are
    left out, or raised, as `bad_files` has it.

    Returns how many files were written. Raises UserError if an audio file is unfit, or the file cannot be written.
    """
    path, bad_files = os.fspath(path), bad_files or BadFiles()
    if shards > len(index):
        raise UserError(f"--shards {shards}: more than the {len(index)} mixtures of {index.path}")
    paths = [path] if shards == 1 else [shard_path(path, number) for number in range(shards)]
    fingerprint = _fingerprint(index, shards)
    written = 0
    with bad_files.part(len(index)) as part:
        for file, numbers in zip(paths, np.array_split(np.arange(len(index)), shards), strict=True):
            if not _is_written(file, fingerprint):
                _write_file(index, numbers.tolist(), file, (shards, fingerprint), part)
                written += 1
    _remove_earlier(path, paths)
    return written


def _remove_earlier(path: str, written: Sequence[str]) -> None:
    """Remove the files of an earlier set of this name, which had another number of files."""
    numbered = [file for file in glob.glob(f"{glob.escape(path)}-*") if re.fullmatch(r"-\d+", file[len(path) :])]
    for file in {path, *numbered}.difference(written):
        with suppress(UserError, OSError):
            if (_require_complete(file)[0] == 1) == (file == path):  # else it is a set of its own, named like a shard
                for ending in ("", ".db"):
                    os.remove(f"{file}{ending}")


def shard_path(path: str, number: int) -> str:
    """The path of one of several files of a set, numbered from 0."""
    return f"{path}-{number}"


def _fingerprint(index: Index, shards: int) -> str:
    """Of what decides the content of a set, as far as it is known without reading audio: hexadecimal."""
    digest = hashlib.sha256(f"{index.sample_rate} {shards} with checksums".encode())
    for name in list_folder(index.path):
        if name.endswith(".json"):
            with open(os.path.join(index.path, name), "rb") as file:
                digest.update(file.read())
    return digest.hexdigest()


def _is_written(path: str, fingerprint: str) -> bool:
    """Whether a file is whole, and was written from an index of this fingerprint."""
    try:
        return _require_complete(path)[1] == fingerprint and _checked_records(path) is not None
    except UserError:
        return False


def _write_file(index: Index, numbers: Sequence[int], path: str, about: tuple[int, str], part: Part) -> None:
    """Write and compare one file; `about` is how many make up the set, and the fingerprint."""
    folder, file = os.path.split(os.path.abspath(path))
    try:
        _require_room(path, folder, 4 * (1 + index.sources) * int(index.lengths[numbers].sum()) + PAGE_BYTES)
        with temporary_folder(".mindrecord-", folder) as partial:
            partial_file = os.path.join(partial, file)
            checksums = _write_records(index, numbers, partial_file, part)
            part.require_few()
            _require_equal(partial_file, checksums)
            with closing(sqlite3.connect(f"{partial_file}.db")) as database, database:
                database.execute("CREATE TABLE written (file TEXT, bytes INTEGER, shards INTEGER, fingerprint TEXT)")
                row = (file, os.path.getsize(partial_file), *about)
                database.execute("INSERT INTO written VALUES (?, ?, ?, ?)", row)
            add_checksums(partial_file)
            for ending in ("", ".db"):
                os.replace(partial_file + ending, os.path.join(folder, file + ending))
    except (OSError, RuntimeError, MindRecordException, sqlite3.Error) as error:
        raise UserError(f"{path}: cannot be written ({_reason(error)})") from None


def _require_room(path: str, folder: str, needed: int) -> None:
    """Raise UserError unless there is room for so many bytes: on a full disk MindSpore would crash."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{path}: needs {needed / 1e9:.2f} GB, and {free / 1e9:.2f} are free; make room or name another"
        )


def _write_records(index: Index, numbers: Sequence[int], path: str, part: Part) -> dict[str, int]:
    """Write these mixtures of an index. Returns {name: checksum of the audio}."""
    writer = FileWriter(path)
    longest = 4 * (1 + index.sources) * int(index.lengths.max())
    writer.set_page_size(max(PAGE_BYTES, 1 << (longest + 1024).bit_length()))  # a record has to fit into a page
    writer.add_schema(
        {
            "name": {"type": "string"},
            "sample_rate": {"type": "int32"},
            "length": {"type": "int64"},
            "audio": {"type": "float32", "shape": [1 + index.sources, -1]},
        }
    )
    checksums = {}
    for number in tqdm(numbers, printable(os.path.basename(path)), disable=None):
        name, length = printable(index.names[number]), int(index.lengths[number])
        with part.leaving_out():
            audio = index.read(number, 0, length)
            writer.write_raw_data([{"name": name, "sample_rate": index.sample_rate, "length": length, "audio": audio}])
            checksums[name] = zlib.crc32(audio)
    writer.commit()
    return checksums


def _require_equal(path: str, checksums: dict[str, int]) -> None:
    """Read a file that was just written. Raises RuntimeError unless it has these names and checksums of audio."""
    found = {str(name): zlib.crc32(audio) for name, audio in _read(path, ["name", "audio"], shuffle=False)}
    if found != checksums:
        raise RuntimeError("it does not read as it was written; is the disk sound?")


class RecordIndex(Index):
    """The mixtures of a MindRecord file or set.

    Raises UserError if it was not written by `write_mindrecord`, is damaged, or holds audio of another rate.
    """

    def __init__(self, path: str | os.PathLike, sample_rate: int):
        self.path, self.sample_rate = os.fspath(path), sample_rate
        require_utf8(self.path)
        self._files = _require_set(self.path)
        rows = []  # name, sample rate, length, file, row in it
        self._checked = {file: _checked_records(file) for file in self._files}
        if unchecked := [file for file in self._files if self._checked[file] is None]:
            print_line(f"{unchecked[0]}: has no checksums, as files of earlier versions; damage would not be seen")
        for file in self._files:
            records = self._records(file, ["name", "sample_rate", "length"], shuffle=False)
            rows += [(*record, file, row) for row, record in enumerate(records)]
        if (rate := int(rows[0][1])) != sample_rate:
            raise UserError(
                f"{path}: written at {rate} Hz, not {sample_rate}; run preprocess.py with --sample-rate {sample_rate}"
            )
        self.names = [str(row[0]) for row in rows]
        self.lengths = np.array([row[2] for row in rows], np.int64)
        self._places = [row[3:] for row in rows]
        self.sources = len(self._audio(0)) - 1

    def read(self, number: int, start: int, length: int) -> np.ndarray:
        """See `Index.read`. Raises UserError if the file is damaged."""
        audio = self._audio(number)[:, start : start + length]
        if not np.isfinite(audio).all():
            file, _ = self._places[number]
            raise UserError(f"{file}: damaged, {self.names[number]} has NaN or infinite samples; copy it again")
        return audio

    def _audio(self, number: int) -> np.ndarray:
        file, row = self._places[number]
        if (records := self._checked[file]) is not None:
            with _damage_named(file):
                require_sound(file, records[row])
        ((audio,),) = self._records(file, ["audio"], sampler=SubsetSampler([row]))
        return audio

    def _records(self, file: str, columns: list[str], **which: Any) -> Iterator[tuple[np.ndarray, ...]]:
        try:
            yield from _read(file, columns, **which)
        except RuntimeError as error:
            raise UserError(f"{file}: damaged ({_reason(error)}); run preprocess.py again") from None


def _checked_records(file: str) -> list[tuple[int, int, int]] | None:
    """See `checksums.checked_records`. Raises UserError if the file is damaged."""
    with _damage_named(file):
        return checked_records(file)


@contextmanager
def _damage_named(file: str) -> Iterator[None]:
    """Raise UserError where a file is not as it was written."""
    try:
        yield
    except (Damaged, OSError, sqlite3.Error) as error:
        reason = error if isinstance(error, Damaged) else f"{file}.db: damaged ({error})"
        raise UserError(f"{reason}; copy it and its .db again, or run preprocess.py again") from None


def _read(file: str, columns: list[str], **which: Any) -> Iterator[tuple[np.ndarray, ...]]:
    """The records of one file, as tuples of these columns in numpy."""
    records = MindDataset(file, columns, num_parallel_workers=1, **which)
    return records.create_tuple_iterator(num_epochs=1, output_numpy=True)


def _require_set(path: str) -> list[str]:
    """The files of a set, in order. Raises UserError unless all of them are there, whole and of one index."""
    if os.path.isfile(path):
        shards, _ = _require_complete(path)
        if shards > 1:
            raise UserError(f"{path}: is one of {shards} files; give the name that they have in common, without number")
        return [path]
    if not os.path.isfile(shard_path(path, 0)):
        raise UserError(f"{path}: no such folder or MindRecord file; run preprocess.py to make it")
    shards, _ = _require_complete(shard_path(path, 0))
    files = [shard_path(path, number) for number in range(shards)]
    if len({_require_complete(file) for file in files}) > 1:
        raise UserError(f"{path}: its {shards} files are not of one set; run preprocess.py again")
    return files


def _require_complete(path: str) -> tuple[int, str]:
    """Raise UserError unless FILE.db is `write_mindrecord`'s and FILE has the name and size that it notes.

    Returns how many files make up its set, and the fingerprint of the index.
    """
    if not os.path.isfile(path):
        raise UserError(f"{path}: no such file; run preprocess.py again")
    if not os.path.isfile(f"{path}.db"):
        raise UserError(f"{path}: no {path}.db, which a MindRecord file of preprocess.py has beside it")
    try:
        with closing(sqlite3.connect(f"{path}.db")) as database:
            ((file, size, *about),) = database.execute("SELECT file, bytes, shards, fingerprint FROM written")
    except (sqlite3.Error, ValueError) as error:
        raise UserError(f"{path}.db: damaged, or not written by preprocess.py ({error}); run it again") from None
    if os.path.basename(path) != file:
        raise UserError(f"{path}: renamed, which MindRecord does not bear; name it and its .db {file} again")
    if os.path.getsize(path) != size:
        raise UserError(f"{path}: damaged, {os.path.getsize(path)} bytes of {size}; copy it and its .db again")
    return tuple(about)


def _reason(error: Exception) -> str:
    """The line of a MindSpore error that says what is wrong, or the first line of any other."""
    text = str(error)
    found = re.search(r"\[ERROR\] (.*)", text)
    return found[1] if found else text.splitlines()[0]
