"""recordings/inputs.py: what a recording has that its estimates cannot show is said, or refused before the work."""

import os

import numpy as np
import pytest
import soundfile
from small_recordings import tones, write, written

from common.errors import UserError


def test_channels_that_cancel_each_other_are_named(tmp_path, band_main, capsys):
    mixture = tones(8001, 8000).sum(0)
    path = write(tmp_path / "x.wav", np.stack([mixture, -mixture], axis=1))
    line = f"{path}: its channels cancel each other where they are mixed to one; --channel 1 takes the first"
    band_main(path)
    assert line in capsys.readouterr().out
    silent = write(tmp_path / "silent.wav", np.zeros((8000, 2)))
    unlike = write(tmp_path / "unlike.wav", np.stack([mixture, -0.9 * mixture], axis=1))
    band_main(silent, unlike)
    band_main(path, "--channel", "1", "--overwrite")
    assert "cancel each other" not in capsys.readouterr().out
    assert np.abs(soundfile.read(tmp_path / "out" / "x_s1.wav")[0]).max() > 0.1


def test_an_ogg_file_without_its_end_is_named(tmp_path, band_main, capsys):
    path = tmp_path / "x.ogg"
    soundfile.write(path, tones(80000, 16000).sum(0), 16000)
    content = path.read_bytes()
    band_main(path)
    assert "missing" not in capsys.readouterr().out
    for end in (content.rindex(b"OggS"), len(content) - 10):
        path.write_bytes(content[:end])
        band_main(path, "--overwrite")
        assert f"{path}: its last page is missing or damaged, so that it may be cut short" in capsys.readouterr().out
        assert 16000 < soundfile.info(tmp_path / "out" / "x_s1.wav").frames < 80000


@pytest.mark.parametrize("name", ["x.flac", "x.ogg"])
def test_long_texts_are_left_out_with_a_word(tmp_path, band_main, capsys, name):
    path = tmp_path / name
    with soundfile.SoundFile(path, "w", 8000, 1) as file:
        file.title, file.artist, file.comment = "A meeting", "é" * 1000, "x" * 120_000
        file.write(tones(800, 8000).sum(0))
    band_main(path)
    with soundfile.SoundFile(tmp_path / "out" / "x_s1.wav") as file:
        assert (file.frames, file.title, file.artist, file.comment) == (800, "A meeting", "é" * 1000, "")
    assert f"{path}: its comment of 120000 characters is left out" in capsys.readouterr().out


@pytest.mark.parametrize("size", [240, 244, 248])
def test_a_long_name_that_can_be_written(tmp_path, band_main, size):
    stem = "é" * (size // 2)  # two bytes each
    band_main(write(tmp_path / f"{stem}.wav", tones(400, 8000).sum(0)))
    assert written(tmp_path) == [f"{stem}_s1.wav", f"{stem}_s2.wav"]


def test_a_name_that_is_too_long_is_refused_before_the_work(tmp_path, band_main, capsys):
    path, other = (write(tmp_path / f"{stem}.wav", tones(400, 8000).sum(0)) for stem in ("x" * 249, "y"))
    with pytest.raises(UserError, match=r"its name is too long for x+_s1.wav, of 256 bytes; 255 is the most") as error:
        band_main(path)
    assert str(error.value).startswith(f"{path}: ")
    assert not os.path.exists(tmp_path / "out")
    with pytest.raises(UserError, match="1 of 2 files were not separated"):
        band_main(path, other)
    assert written(tmp_path) == ["y_s1.wav", "y_s2.wav"]
    assert capsys.readouterr().err.count("its name is too long") == 1
