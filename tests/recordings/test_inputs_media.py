"""recordings/inputs.py: recordings that libsndfile does not read, as files, in folders and on standard input."""

import io

import numpy as np
import pytest
import soundfile
from small_recordings import BandNet, tones, write, written
from test_media import encode

from common import media
from common.errors import UserError
from recordings import inputs

pytest.importorskip("av", reason="requirements/formats.txt is not installed")


def phone(path, container="ipod", codec="aac", video=None):
    return encode(path, container, codec, np.stack(2 * [tones(9000, 8000).sum(0)]), 48000, video)


def test_files_and_folders_are_separated_like_others(tmp_path, band_main, capsys):
    calls = tmp_path / "calls"
    (calls / "deep").mkdir(parents=True)
    write(calls / "a.wav", tones(400, 8000).sum(0))
    phone(calls / "deep" / "b.M4A")
    phone(calls / "c.webm", "webm", "libopus", "libvpx")
    (calls / "notes.txt").write_text("not audio")
    film = phone(tmp_path / "film.mp4", "mp4", "aac", "mpeg4")
    band_main(calls, film)
    assert f"{calls}: passed by 1 .txt, since these endings are of no format that is read\n" in capsys.readouterr().out
    assert written(tmp_path) == sorted(
        f"{stem}_s{number}.wav" for stem in ("a", "c", "deep/b", "film") for number in (1, 2)
    )
    found = soundfile.info(tmp_path / "out" / "film_s1.wav")
    assert (found.samplerate, found.subtype, found.channels) == (48000, "PCM_16", 1)
    assert 9000 <= found.frames <= 9000 + 1024


def test_a_bad_one_in_a_folder_is_one_line_and_the_others_are_separated(tmp_path, band_main, capsys):
    calls = tmp_path / "calls"
    calls.mkdir()
    phone(calls / "a.m4a")
    (calls / "b.m4a").write_bytes((calls / "a.m4a").read_bytes()[:2000])
    with pytest.raises(UserError, match="1 of 2 files were not separated"):
        band_main(calls)
    assert capsys.readouterr().err.startswith(f"error: {calls / 'b.m4a'}: not an audio file that libsndfile can read")
    assert written(tmp_path) == ["a_s1.wav", "a_s2.wav"]


def test_standard_input(tmp_path, monkeypatch, capfdbinary):
    import sys

    import separate

    monkeypatch.setattr(separate, "load_network", lambda args: BandNet())
    with open(phone(tmp_path / "a.m4a"), "rb") as file:
        monkeypatch.setattr(sys, "stdin", file)
        separate.main(["-", "--device_target", "CPU"])
    samples, rate = soundfile.read(io.BytesIO(capfdbinary.readouterr().out))
    assert samples.shape[1] == 2 and rate == 48000


def test_folders_leave_them_out_without_the_extra(tmp_path, monkeypatch, capsys):
    write(tmp_path / "a.wav", tones(400, 8000).sum(0))
    phone(tmp_path / "b.m4a")
    monkeypatch.setattr(media, "has_reader", lambda: False)
    assert list(inputs.find_files([str(tmp_path)])) == [str(tmp_path / "a.wav")]
    assert "passed by 1 .m4a, since" in (out := capsys.readouterr().out) and media.HINT in out
