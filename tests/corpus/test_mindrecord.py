"""corpus/mindrecord.py: the same batches to the bit as from the index folder, and what a damaged file says."""

import os
import shutil
from types import SimpleNamespace

import pytest
from mindspore.mindrecord import FileWriter
from small_corpus import RATE, arrays, assert_same, make_corpus

from common.errors import UserError
from corpus import mindrecord
from corpus.bad_files import BadFiles
from corpus.loading import load_index
from corpus.mindrecord import write_mindrecord
from data import training_batches, whole_batches


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """An index of three speakers in FLAC files of 16 kHz, and its MindRecord of 8 kHz, with a space in the name."""
    folder = tmp_path_factory.mktemp("corpus")
    make_corpus(folder / "index", [5001, 1603, 3200, 700], speakers=3, rate=16000, ending="flac")
    write_mindrecord(load_index(folder / "index", RATE), folder / "train set")
    return folder / "index", folder / "train set"


@pytest.fixture
def copy(written, tmp_path):
    """A copy of that MindRecord in a folder of its own, to damage."""
    for ending in ("", ".db"):
        shutil.copy(f"{written[1]}{ending}", f"{tmp_path / 'train set'}{ending}")
    return tmp_path / "train set"


def assert_one_line(error, *parts):
    text = str(error.value)
    assert len(text.splitlines()) == 1
    assert all(str(part) in text for part in parts), text


def test_describes_the_same_utterances(written):
    index, record = (load_index(path, RATE) for path in written)
    assert record.names == index.names == ["u0", "u1", "u2", "u3"]
    assert record.lengths.tolist() == index.lengths.tolist() == [2501, 802, 1600, 350]
    assert record.sources == index.sources == 3 and len(record) == 4 and record.sample_rate == RATE


@pytest.mark.parametrize("segment", [0.1, -1])
@pytest.mark.parametrize("shuffle", [0, 1])
def test_same_batches_to_the_bit(written, segment, shuffle):
    index, record = (load_index(path, RATE) for path in written)
    expected = arrays(training_batches(index, 3, segment, shuffle, 5, 2, num_workers=1))
    for num_workers in (1, 2):
        batches = training_batches(record, 3, segment, shuffle, 5, 2, num_workers)
        assert_same(arrays(batches), expected)
        assert_same(arrays(batches), expected)  # once more from the same object
    assert_same(arrays(whole_batches(record, 2, 2)), arrays(whole_batches(index, 2, 2)))


def test_can_be_copied_elsewhere(written, copy):
    assert_same(*(arrays(whole_batches(load_index(path, RATE), 2, 1)) for path in (written[1], copy)))


def test_relative_path(copy, monkeypatch):
    monkeypatch.chdir(copy.parent)
    assert len(arrays(whole_batches(load_index(copy.name, RATE), 1, 1))) == 4


def test_a_record_larger_than_the_usual_page(written, tmp_path, monkeypatch):
    monkeypatch.setattr(mindrecord, "PAGE_BYTES", 2**15)  # and the largest record has 2501 * 4 * 4 bytes
    write_mindrecord(load_index(written[0], RATE), tmp_path / "small")
    assert os.path.getsize(tmp_path / "small") < os.path.getsize(written[1])
    assert_same(*(arrays(whole_batches(load_index(path, RATE), 2, 1)) for path in (written[1], tmp_path / "small")))


def test_replaces_an_older_file(written, copy):
    make_corpus(copy.parent / "index", [900, 400], speakers=1)
    write_mindrecord(load_index(copy.parent / "index", RATE), copy)
    assert load_index(copy, RATE).lengths.tolist() == [900, 400]
    assert sorted(os.listdir(copy.parent)) == ["index", "train set", "train set.db"]


def test_failing_leaves_the_older_file(copy):
    make_corpus(copy.parent / "index", [900, 400])
    (copy.parent / "index" / "s2" / "u1.wav").unlink()
    before = copy.read_bytes()
    with pytest.raises(UserError) as error:
        write_mindrecord(load_index(copy.parent / "index", RATE), copy)
    assert_one_line(error, "s2/u1.wav: no such file")
    assert copy.read_bytes() == before
    assert sorted(os.listdir(copy.parent)) == ["index", "train set", "train set.db"]


@pytest.mark.parametrize("name", ["nowhere/x", "a:b", "index"])
def test_unfit_path(written, tmp_path, name, capfd):
    (tmp_path / "index").mkdir()
    with pytest.raises(UserError) as error:
        write_mindrecord(load_index(written[0], RATE), tmp_path / name)
    assert_one_line(error, tmp_path / name, "cannot be written")
    assert os.listdir(tmp_path) == ["index"]
    assert capfd.readouterr().err == ""


def damage_bytes(path, offset, replacement):
    with open(path, "r+b") as stream:
        stream.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
        stream.write(replacement)


def replace_by_foreign(path):
    for file in (path, f"{path}.db"):
        os.remove(file)
    writer = FileWriter(str(path))
    writer.add_schema({"x": {"type": "int32"}})
    writer.write_raw_data([{"x": 1}])
    writer.commit()


FAULTS = {
    "empty": (lambda p: os.truncate(p, 0), "damaged, 0 bytes of"),
    "half": (lambda p: os.truncate(p, os.path.getsize(p) // 2), "damaged, "),
    "tail": (lambda p: os.truncate(p, os.path.getsize(p) - 10), "damaged, "),
    "no db": (lambda p: os.remove(f"{p}.db"), "train set: no "),
    "empty db": (lambda p: os.truncate(f"{p}.db", 0), "db: damaged, or not written by preprocess.py"),
    "half db": (lambda p: os.truncate(f"{p}.db", 6000), "db: damaged, or not written by preprocess.py"),
    "text db": (lambda p: damage_bytes(f"{p}.db", 0, b"hello" * 99), "db: damaged, or not written by preprocess.py"),
    "foreign": (replace_by_foreign, "db: damaged, or not written by preprocess.py"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_damaged_file(copy, fault, capfd):
    damage, message = FAULTS[fault]
    damage(copy)
    with pytest.raises(UserError) as error:
        load_index(copy, RATE)
    assert_one_line(error, copy, message)
    assert capfd.readouterr().err == ""


def test_renamed_file(copy):
    for ending in ("", ".db"):
        os.rename(f"{copy}{ending}", f"{copy.parent / 'valid'}{ending}")
    with pytest.raises(UserError) as error:
        load_index(copy.parent / "valid", RATE)
    assert_one_line(error, copy.parent / "valid", "renamed", "train set again")


def test_another_rate(copy):
    with pytest.raises(UserError) as error:
        load_index(copy, 16000)
    assert_one_line(error, copy, "written at 8000 Hz, not 16000", "--sample-rate 16000")


def test_not_a_mindrecord(written):
    wav = next((written[0] / "mix").iterdir())
    with pytest.raises(UserError) as error:
        load_index(wav, RATE)
    assert_one_line(error, wav)


@pytest.fixture
def three_shards(written, tmp_path):
    """The same utterances in three files, of two, one and one."""
    assert write_mindrecord(load_index(written[0], RATE), tmp_path / "set", shards=3) == 3
    return tmp_path / "set"


def test_shards_hold_the_same(written, three_shards):
    names = sorted(os.listdir(three_shards.parent))
    assert names == ["set-0", "set-0.db", "set-1", "set-1.db", "set-2", "set-2.db"]
    assert load_index(three_shards, RATE).names == ["u0", "u1", "u2", "u3"]
    for segment in (0.1, -1):
        expected = arrays(training_batches(load_index(written[1], RATE), 3, segment, 1, 5, 2, 1))
        assert_same(arrays(training_batches(load_index(three_shards, RATE), 3, segment, 1, 5, 2, 2)), expected)


def test_an_interrupted_set_goes_on(written, three_shards):
    for ending in ("", ".db"):
        os.remove(f"{three_shards}-1{ending}")
    with pytest.raises(UserError, match=r"set-1: no such file; run preprocess.py again"):
        load_index(three_shards, RATE)
    os.truncate(f"{three_shards}-2", 1000)
    kept = os.stat(f"{three_shards}-0").st_mtime_ns
    assert write_mindrecord(load_index(written[0], RATE), three_shards, shards=3) == 2
    assert os.stat(f"{three_shards}-0").st_mtime_ns == kept
    assert len(load_index(three_shards, RATE)) == 4
    assert write_mindrecord(load_index(written[0], RATE), three_shards, shards=3) == 0


def test_another_number_of_shards_takes_the_place(written, three_shards):
    own = three_shards.parent / "set-7"  # a set of its own, though named like a shard
    write_mindrecord(load_index(written[0], RATE), own)
    assert write_mindrecord(load_index(written[0], RATE), three_shards, shards=2) == 2
    assert sorted(os.listdir(own.parent)) == ["set-0", "set-0.db", "set-1", "set-1.db", "set-7", "set-7.db"]
    assert write_mindrecord(load_index(written[0], RATE), three_shards) == 1
    assert sorted(os.listdir(own.parent)) == ["set", "set-7", "set-7.db", "set.db"]
    assert write_mindrecord(load_index(written[0], RATE), three_shards, shards=2) == 2
    assert len(load_index(three_shards, RATE)) == 4 and not three_shards.exists()


def test_one_shard_alone_and_too_many(written, three_shards):
    with pytest.raises(UserError, match=r"set-1: is one of 3 files; give the name that they have in common"):
        load_index(f"{three_shards}-1", RATE)
    with pytest.raises(UserError, match=r"--shards 5: more than the 4 mixtures of"):
        write_mindrecord(load_index(written[0], RATE), three_shards, shards=5)


def test_a_disk_that_does_not_keep_what_was_written(written, tmp_path, monkeypatch):
    checksums = iter(range(99))
    monkeypatch.setattr(mindrecord.zlib, "crc32", lambda audio: next(checksums))
    with pytest.raises(UserError, match=r"set: cannot be written \(it does not read as it was written"):
        write_mindrecord(load_index(written[0], RATE), tmp_path / "set")
    assert os.listdir(tmp_path) == []


def test_bad_files_are_skipped_and_limited(tmp_path):
    make_corpus(tmp_path / "index", [400] * 120)
    for number in (7, 90):
        bad = tmp_path / "index" / "s1" / f"u{number}.wav"
        bad.write_bytes(bad.read_bytes()[:500])
        bad_files = BadFiles("skip", str(tmp_path / "bad_files.txt"))
        if number == 7:
            write_mindrecord(load_index(tmp_path / "index", RATE), tmp_path / "set", bad_files=bad_files)
            assert bad_files.skipped == 1
            assert load_index(tmp_path / "set", RATE).names == [f"u{n}" for n in range(120) if n != 7]
    os.remove(tmp_path / "set")
    with pytest.raises(UserError, match=r"2 of 120 mixtures have a bad file, more than 1%; .*bad_files.txt lists them"):
        write_mindrecord(load_index(tmp_path / "index", RATE), tmp_path / "set", bad_files=bad_files)
    lines = (tmp_path / "bad_files.txt").read_text().splitlines()
    assert [line.split(":")[0][-6:] for line in lines] == ["u7.wav", "90.wav"]


def test_too_little_room_is_said_before_the_work(written, tmp_path, monkeypatch):
    """MindSpore crashes where it cannot write on."""
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(UserError) as error:
        write_mindrecord(load_index(written[0], RATE), tmp_path / "set")
    assert_one_line(error, tmp_path / "set", "needs 0.03 GB, and 0.00 are free")
    assert os.listdir(tmp_path) == []


def test_a_name_that_is_not_utf8_is_written_as_it_is_printed(tmp_path):
    make_corpus(tmp_path / "index", [1603, 700])
    index = load_index(tmp_path / "index", RATE)
    index.names[1] = os.fsdecode(b"caf\xe9")
    write_mindrecord(index, tmp_path / "set")
    assert load_index(tmp_path / "set", RATE).names == ["u0", "caf\\udce9"]
