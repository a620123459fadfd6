"""corpus/checksums.py: a bit that is flipped in a MindRecord file is seen before MindSpore reads it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from small_corpus import RATE, make_corpus

from common.errors import UserError
from corpus.checksums import Damaged, checked_records
from corpus.loading import load_index
from corpus.mindrecord import write_mindrecord


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    make_corpus(folder, [900, 401, 800])
    return load_index(folder, RATE)


@pytest.fixture
def record(index, tmp_path):
    """A MindRecord of three mixtures, to damage."""
    write_mindrecord(index, tmp_path / "tr.rec")
    return str(tmp_path / "tr.rec")


def without_checksums(path):
    with closing(sqlite3.connect(f"{path}.db")) as database, database:
        database.execute("DROP TABLE records")
        database.execute("DROP TABLE checksums")


def flip(path, bit):
    with open(path, "r+b") as stream:
        stream.seek(bit // 8)
        (byte,) = stream.read(1)
        stream.seek(bit // 8)
        stream.write(bytes([byte ^ 1 << bit % 8]))


@pytest.mark.parametrize("ending", ["", ".db"])
def test_a_bit_flipped_outside_the_audio(record, ending):
    """MindSpore ends the process at many of them, or gives other lengths, names or audio."""
    file, records = f"{record}{ending}", checked_records(record)
    used = np.flatnonzero(np.fromfile(file, np.uint8))  # the rest are zeros between
    places = used if ending else used[(used < records[0][0]) | (used >= records[-1][1])]
    random, refused = np.random.default_rng(0), 0
    for place in random.choice(places, 60, replace=False):
        bit = 8 * int(place) + int(random.integers(8))
        flip(file, bit)
        try:
            found = checked_records(record)
        except (Damaged, sqlite3.Error):
            refused += 1
        else:  # where nothing is
            assert found == records
        flip(file, bit)
    assert refused > (50 if ending else 59)
    flip(file, 8 * 20)
    with pytest.raises(
        UserError, match=r"tr\.rec.*: damaged.*; copy it and its \.db again, or run preprocess\.py again$"
    ):
        load_index(record, RATE)


def test_a_bit_flipped_in_the_audio_costs_its_record(record):
    index = load_index(record, RATE)
    for number, (start, stop, _) in enumerate(checked_records(record)):
        for bit in (8 * start, 4 * (start + stop) + 3, 8 * stop - 1):
            flip(record, bit)
            with pytest.raises(
                UserError, match=f"tr.rec: damaged, the checksum of its bytes {start} to {stop} differs"
            ):
                index.read(number, 0, 10)
            index.read((number + 1) % 3, 0, 10)
            flip(record, bit)


def test_a_file_of_an_earlier_version_is_read_with_a_line(index, record, capsys):
    without_checksums(record)
    earlier = load_index(record, RATE)
    expected = f"{record}: has no checksums, as files of earlier versions; damage would not be seen\n"
    assert capsys.readouterr().out == expected
    samples = earlier.read(2, 0, 800)
    np.testing.assert_array_equal(samples, index.read(2, 0, 800))
    place = Path(record).read_bytes().index(samples.tobytes())
    with open(record, "r+b") as stream:
        stream.seek(place)
        stream.write(np.full(3, np.nan, np.float32).tobytes())
    with pytest.raises(UserError, match="u2 has NaN"):
        earlier.read(2, 0, 800)


def test_a_file_of_an_earlier_version_is_written_again(index, record):
    without_checksums(record)
    assert write_mindrecord(index, record) == 1
    assert write_mindrecord(index, record) == 0
    assert checked_records(record) is not None
