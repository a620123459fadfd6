"""One MindRecord file (and its FILE.db) in place of an index folder and its audio files: preprocess.py writes it.

A record is an utterance: `name`, `sample_rate`, `length` and `audio`, float32 [1 + C, length], mixture first. FILE.db
is MindRecord's own SQLite index; a table of ours in it, `written`, has the name and size that FILE must have, because
MindSpore crashes on some files that were cut short and reads the namesake, if there is one, of a file renamed.
"""

import os
import re
import sqlite3
import tempfile
from contextlib import closing

import numpy as np
from mindspore.dataset import MindDataset, SubsetSampler
from mindspore.mindrecord import FileWriter
from mindspore.mindrecord.common.exceptions import MindRecordException
from tqdm import tqdm

from errors import UserError
from index import FolderIndex

PAGE_BYTES = 2**25  # MindRecord's default


def write_mindrecord(index_folder, path, sample_rate):
    """Write the utterances of an index folder, with their audio at `sample_rate` Hz, as a MindRecord file.

    Both files are written in a folder beside, under their own names (MindRecord does not bear renaming), then moved.
    Raises UserError if the index or an audio file is unfit, or the file cannot be written.
    """
    index = FolderIndex(index_folder, sample_rate)
    folder, file = os.path.split(os.path.abspath(path))
    try:
        with tempfile.TemporaryDirectory(prefix=".mindrecord-", dir=folder) as partial:
            partial_file = os.path.join(partial, file)
            _write_records(index, partial_file)
            with closing(sqlite3.connect(f"{partial_file}.db")) as database, database:
                database.execute("CREATE TABLE written (file TEXT, bytes INTEGER)")
                database.execute("INSERT INTO written VALUES (?, ?)", (file, os.path.getsize(partial_file)))
            for ending in ("", ".db"):
                os.replace(partial_file + ending, os.path.join(folder, file + ending))
    except (OSError, RuntimeError, MindRecordException, sqlite3.Error) as error:
        raise UserError(f"{path}: cannot be written ({_reason(error)})") from None


def _write_records(index, path):
    writer = FileWriter(path)
    longest = 4 * (1 + index.speakers) * int(index.lengths.max())
    writer.set_page_size(max(PAGE_BYTES, 1 << (longest + 1024).bit_length()))  # a record has to fit into a page
    writer.add_schema(
        {
            "name": {"type": "string"},
            "sample_rate": {"type": "int32"},
            "length": {"type": "int64"},
            "audio": {"type": "float32", "shape": [1 + index.speakers, -1]},
        }
    )
    utterances = zip(index.names, index.lengths.tolist(), strict=True)
    for utterance, (name, length) in enumerate(tqdm(utterances, os.path.basename(path), len(index), disable=None)):
        audio = index.read(utterance, 0, length)
        writer.write_raw_data([{"name": name, "sample_rate": index.sample_rate, "length": length, "audio": audio}])
    writer.commit()


class RecordIndex:
    """The utterances of a MindRecord file, with the attributes and methods of `FolderIndex`.

    Raises UserError if it was not written by `write_mindrecord`, is damaged, or holds audio of another rate.
    """

    def __init__(self, path, sample_rate):
        _require_complete(path)
        self.path = os.fspath(path)  # MindDataset takes nothing else
        self.sample_rate = sample_rate
        rows = list(self._records(["name", "sample_rate", "length"], shuffle=False))
        if (rate := int(rows[0][1])) != sample_rate:
            raise UserError(
                f"{path}: written at {rate} Hz, not {sample_rate}; run preprocess.py with --sample-rate {sample_rate}"
            )
        self.names = [str(name) for name, _, _ in rows]
        self.lengths = np.array([length for _, _, length in rows], np.int64)
        self.speakers = len(self._audio(0)) - 1

    def __len__(self):
        return len(self.names)

    def read(self, utterance, start, length):
        """Read a stretch, in samples, of an utterance's mixture and sources: float32 [1 + C, length], mixture first.

        Raises UserError if the file is damaged.
        """
        audio = self._audio(utterance)[:, start : start + length]
        if not np.isfinite(audio).all():
            raise UserError(f"{self.path}: damaged, {self.names[utterance]} has NaN or infinite samples; copy it again")
        return audio

    def _audio(self, utterance):
        ((audio,),) = self._records(["audio"], sampler=SubsetSampler([utterance]))
        return audio

    def _records(self, columns, **which):
        try:
            records = MindDataset(self.path, columns, num_parallel_workers=1, **which)
            yield from records.create_tuple_iterator(num_epochs=1, output_numpy=True)
        except RuntimeError as error:
            raise UserError(f"{self.path}: damaged ({_reason(error)}); run preprocess.py again") from None


def _require_complete(path):
    """Raise UserError unless FILE.db is `write_mindrecord`'s and FILE has the name and size that it notes."""
    if not os.path.isfile(f"{path}.db"):
        raise UserError(f"{path}: no {path}.db, which a MindRecord file of preprocess.py has beside it")
    try:
        with closing(sqlite3.connect(f"{path}.db")) as database:
            ((file, size),) = database.execute("SELECT file, bytes FROM written")
    except (sqlite3.Error, ValueError) as error:
        raise UserError(f"{path}.db: damaged, or not written by preprocess.py ({error}); run it again") from None
    if os.path.basename(path) != file:
        raise UserError(f"{path}: renamed, which MindRecord does not bear; name it and its .db {file} again")
    if os.path.getsize(path) != size:
        raise UserError(f"{path}: damaged, {os.path.getsize(path)} bytes of {size}; copy it and its .db again")


def _reason(error):
    """The line of a MindSpore error that says what is wrong, or the first line of any other."""
    text = str(error)
    found = re.search(r"\[ERROR\] (.*)", text)
    return found[1] if found else text.splitlines()[0]
