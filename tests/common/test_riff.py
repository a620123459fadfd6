"""common/riff.py: wav files whose header was never completed are read to their end, and no others."""

import numpy as np
import pytest
import soundfile

from common.audio import audio_info, decode
from common.errors import UserError

NO_LENGTHS = [0, 0xFFFFFFFF, 0x7FFFF000, 0xFFFFFFFE, 0xFFFFFFFF - 36, 0x7FFFFFFF, 0x80000000, 0x7FFFFF00]


def noise(samples):
    return np.random.default_rng(0).uniform(-0.4, 0.4, samples)


def with_length(content, size, whole):
    """A wav file's bytes with other lengths of its data and of all of it."""
    at = content.index(b"data") + 4
    return content[:4] + whole.to_bytes(4, "little") + content[8:at] + size.to_bytes(4, "little") + content[at + 4 :]


def unfinished(folder, size, whole=0, subtype="PCM_16", form="WAV"):
    """A file, the same with no length, and its samples."""
    soundfile.write(folder / "whole.wav", noise(5000), 8000, subtype, format=form)
    (folder / "given.wav").write_bytes(with_length((folder / "whole.wav").read_bytes(), size, whole))
    return str(folder / "given.wav"), soundfile.read(folder / "whole.wav", dtype="float32")[0]


@pytest.mark.parametrize("size", NO_LENGTHS)
def test_an_unfinished_file_is_read_to_its_end_with_a_word(tmp_path, size):
    for whole in {0, 36, size, min(size + 36, 2**32 - 1), 10036}:
        path, expected = unfinished(tmp_path, size, whole)
        info = audio_info(path)
        assert (info.frames, info.sample_rate) == (5000, 8000)
        assert info.note == "its header was never completed, so it is read to its end"
        np.testing.assert_array_equal(decode(path, 0, 5000), expected)
        np.testing.assert_array_equal(decode(path, 1234, 1300), expected[1234:1300])


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"])
@pytest.mark.parametrize("form", ["WAV", "WAVEX"])
def test_unfinished_files_of_other_samples(tmp_path, subtype, form):
    path, expected = unfinished(tmp_path, 0xFFFFFFFF, 0xFFFFFFFF, subtype, form)
    np.testing.assert_array_equal(decode(path, 0, audio_info(path).frames), expected)


@pytest.mark.parametrize("size", [0, 2**63 - 1])
def test_an_unfinished_rf64_file(tmp_path, size):
    soundfile.write(tmp_path / "a.wav", noise(5000), 8000, "PCM_16", format="RF64")
    content = (tmp_path / "a.wav").read_bytes()
    assert content[12:16] == b"ds64"
    lengths = size.to_bytes(8, "little")
    (tmp_path / "b.wav").write_bytes(content[:20] + lengths + lengths + content[36:])
    assert audio_info(tmp_path / "b.wav").frames == 5000
    assert audio_info(tmp_path / "b.wav").note
    assert not audio_info(tmp_path / "a.wav").note


def test_a_finished_file_is_as_long_as_its_header_says(tmp_path):
    """One that is empty, though a chunk comes after; one that is cut short; one of which more comes after its end."""
    path, expected = unfinished(tmp_path, 0)
    content = (tmp_path / "whole.wav").read_bytes()
    empty = with_length(content[:44], 0, 36 + 20) + b"LIST\x0c\0\0\0INFOISFT" + bytes(4)
    (tmp_path / "given.wav").write_bytes(empty)
    with pytest.raises(UserError, match="empty"):
        audio_info(path)
    (tmp_path / "given.wav").write_bytes(content[:-100])
    with pytest.raises(UserError, match="cut short"):
        audio_info(path)
    (tmp_path / "given.wav").write_bytes(content + b"more")
    assert (audio_info(path).frames, audio_info(path).note) == (5000, "")
    np.testing.assert_array_equal(decode(path, 0, 5000), expected)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_nothing_after_an_unfinished_header_is_empty(tmp_path, size):
    path, _ = unfinished(tmp_path, size)
    (tmp_path / "given.wav").write_bytes((tmp_path / "given.wav").read_bytes()[:44])
    with pytest.raises(UserError, match=r"given.wav: empty|given.wav: cut short"):
        audio_info(path)
