"""Checksums of a MindRecord file, in tables of ours in its FILE.db: MindSpore has none, and crashes on some damage.

They hold what is read of it at the start, all but the audio, and each record by itself, before MindSpore reads either.
The tables: `records`, first byte, byte behind the last, and CRC-32 of each record's audio in FILE, in order; and
`checksums`, the CRC-32 of the `rest` of FILE, and of the `entries`, what all the other tables say.
"""

import json
import os
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing

import numpy as np

BLOCK = 2**20  # bytes that are read at once
ENTRIES = ("sqlite_master", "INDEXES", "SHARD_NAME", "written", "records")  # the tables that the checksum is of


class Damaged(Exception):
    """A file is not as it was written."""


def add_checksums(path: str) -> None:
    """Add the checksums of a file that MindRecord has just written, with its table `written`, to its FILE.db."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    with closing(sqlite3.connect(f"{path}.db")) as database, database:
        places = database.execute(
            "SELECT PAGE_ID_BLOB, PAGE_OFFSET_BLOB, PAGE_OFFSET_BLOB_END FROM INDEXES ORDER BY ROW_ID"
        )
        pages, starts, stops = np.array(places.fetchall()).T
        begins = header["header_size"] + pages * header["page_size"]
        places = np.stack([begins + starts, begins + stops], axis=1).tolist()
        database.execute("CREATE TABLE records (start INTEGER, stop INTEGER, crc INTEGER)")
        database.execute("CREATE TABLE checksums (rest INTEGER, entries INTEGER)")
        rows = [(*place, _crc(path, [place])) for place in places]
        database.executemany("INSERT INTO records VALUES (?, ?, ?)", rows)
        checksums = _crc(path, _between(places, os.path.getsize(path))), _crc_of_entries(database)
        database.execute("INSERT INTO checksums VALUES (?, ?)", checksums)


def checked_records(path: str) -> list[tuple[int, int, int]] | None:
    """Hold all of a file but its audio to its checksums.

    Returns what `require_sound` takes of each record; None if the file is of an earlier version and has no checksums.
    Raises Damaged or sqlite3.Error.
    """
    try:
        records, rest = _records(path)
    except UnicodeDecodeError as error:
        raise Damaged(f"{path}.db: damaged ({error})") from None
    if records is not None and rest != _crc(path, _between(records, os.path.getsize(path))):
        raise Damaged(f"{path}: damaged, its checksum differs")
    return records


def _records(path: str) -> tuple[list[tuple[int, int, int]] | None, int]:
    """What the tables say of the records, or None, and of the rest."""
    with closing(sqlite3.connect(f"{path}.db")) as database:
        is_sound = database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        tables = database.execute("SELECT name FROM sqlite_master WHERE name IN ('records', 'checksums')").fetchall()
        if is_sound and not tables:
            return None, 0
        checksums = database.execute("SELECT rest, entries FROM checksums").fetchall()
        if not is_sound or [entries for _, entries in checksums] != [_crc_of_entries(database)]:
            raise Damaged(f"{path}.db: damaged, its checksum differs")
        return database.execute("SELECT start, stop, crc FROM records").fetchall(), checksums[0][0]


def require_sound(path: str, record: tuple[int, int, int]) -> None:
    """Raise Damaged unless a record's audio has its checksum."""
    *place, crc = record
    if _crc(path, [place]) != crc:
        raise Damaged(f"{path}: damaged, the checksum of its bytes {place[0]} to {place[1]} differs")


def _between(places: list[tuple[int, ...]], size: int) -> Iterator[tuple[int, int]]:
    """The stretches of a file of this size that are in none of these places, (start, stop, ...)."""
    end = 0
    for start, stop, *_ in sorted(places):
        yield end, start
        end = stop
    yield end, size


def _crc(path: str, stretches: Iterator[tuple[int, int]] | list[tuple[int, int]]) -> int:
    """CRC-32 of stretches of a file, (start, stop), one after another."""
    crc = 0
    with open(path, "rb") as file:
        for start, stop in stretches:
            file.seek(start)
            while start < stop and (block := file.read(min(BLOCK, stop - start))):
                crc = zlib.crc32(block, crc)
                start += len(block)
    return crc


def _crc_of_entries(database: sqlite3.Connection) -> int:
    """CRC-32 of what the tables say, but for where in the database they are."""
    crc = 0
    for table in ENTRIES:
        columns = "type, name, tbl_name, sql" if table == "sqlite_master" else "*"
        for row in database.execute(f"SELECT {columns} FROM {table} ORDER BY ROWID"):
            crc = zlib.crc32(repr(row).encode(), crc)
    return crc
