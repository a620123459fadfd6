"""recordings/inputs.py: what files, folders and patterns mean, and a line about each that cannot be separated."""

import glob
import os
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from small_recordings import tones, write, written

import separate
from common import media
from common.errors import UserError
from recordings import inputs


def make_bad(folder, kind):
    path = folder / f"{kind}.wav"
    if kind == "empty":
        write(path, np.zeros(0))
    elif kind == "truncated":
        whole = Path(write(path, tones(1000, 8000)[0])).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "text":
        path.write_text("not audio\n")
    elif kind == "nan":
        write(path, np.array([0, np.nan, 0]))
    elif kind == "folder":
        path.mkdir()
    return path


BAD = ["empty", "truncated", "text", "nan", "missing"]


@pytest.mark.parametrize("kind", [*BAD, "folder"])
def test_one_bad_file_is_one_error_that_names_it(tmp_path, band_main, kind):
    bad = make_bad(tmp_path, kind)
    with pytest.raises(UserError) as raised:
        band_main(bad)
    assert str(raised.value).startswith(f"{bad}: ")
    assert "\n" not in str(raised.value)
    assert not written(tmp_path)


def test_bad_files_do_not_keep_others_from_being_separated(tmp_path, band_main, capsys):
    bad = [make_bad(tmp_path, kind) for kind in BAD]
    good = write(tmp_path / "good.wav", tones(800, 8000).sum(0))
    with pytest.raises(UserError, match="5 of 6 files"):
        band_main(*bad, good)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert sorted(line.split(": ")[1] for line in lines) == sorted(map(str, bad))
    assert sorted(os.listdir(tmp_path / "out")) == ["good_s1.wav", "good_s2.wav"]


def test_two_recordings_of_one_name_are_an_error_and_the_others_are_separated(tmp_path, band_main, capsys):
    (tmp_path / "b").mkdir()
    first, second = (
        write(tmp_path / "x.wav", [0.1] * 50),
        write(tmp_path / "b" / "x.flac", [0.1] * 50, subtype="PCM_16"),
    )
    third = write(tmp_path / "y.wav", [0.1] * 50)
    with pytest.raises(UserError, match="2 of 3 files were not separated"):
        band_main(first, second, third)
    said = capsys.readouterr().err
    assert re.search(rf"^error: {first}: would be written to .*x_s1\.wav, as {second} would", said, re.MULTILINE)
    assert re.search(rf"^error: {second}: would be written to .*x_s1\.wav, as {first} would", said, re.MULTILINE)
    assert written(tmp_path) == ["y_s1.wav", "y_s2.wav"]


def test_an_input_is_never_overwritten(tmp_path, band_main):
    (tmp_path / "out").mkdir()
    earlier = write(tmp_path / "out" / "x_s1.wav", [0.1] * 50)
    with pytest.raises(UserError, match="overwrite"):
        band_main(write(tmp_path / "x.wav", [0.1] * 50), earlier)
    assert os.listdir(tmp_path / "out") == ["x_s1.wav"]


def test_what_is_there_stays_unless_overwrite_is_given(tmp_path, band_main):
    path = write(tmp_path / "x.wav", tones(400, 8000).sum(0))
    band_main(path)
    before = (tmp_path / "out" / "x_s1.wav").read_bytes()
    write(path, tones(300, 8000).sum(0))
    with pytest.raises(UserError, match="--overwrite"):
        band_main(path)
    assert (tmp_path / "out" / "x_s1.wav").read_bytes() == before
    band_main(path, "--overwrite")
    assert soundfile.info(tmp_path / "out" / "x_s1.wav").frames == 300


def test_a_call_that_was_stopped_goes_on(tmp_path, band_main, capsys):
    """What is all there is left out; what lacks one of its files, be it the picture, is separated anew."""
    whole, half, new, damaged = (write(tmp_path / f"{name}.wav", tones(400, 8000).sum(0)) for name in "abcd")
    band_main(whole, half)
    (tmp_path / "out" / "b_s2.wav").unlink()
    (tmp_path / "out" / "b_s1.wav").write_text("of the call that was stopped")
    Path(damaged).write_text("no audio")
    before = (tmp_path / "out" / "a_s1.wav").stat()
    capsys.readouterr()
    with pytest.raises(UserError, match="1 of 4 files were not separated"):
        band_main(whole, half, new, damaged, "--skip_existing")
    assert "1 recording: left out, since the estimates are there" in capsys.readouterr().out
    assert written(tmp_path) == [f"{name}_s{number}.wav" for name in "abc" for number in (1, 2)]
    assert (tmp_path / "out" / "a_s1.wav").stat() == before
    assert soundfile.info(tmp_path / "out" / "b_s1.wav").frames == 400
    Path(damaged).unlink()
    band_main(whole, half, new, "--skip_existing")
    assert "3 recordings: left out" in capsys.readouterr().out
    band_main(new, "--skip_existing", "--plot")
    assert "left out" not in capsys.readouterr().out and (tmp_path / "out" / "c.png").exists()


def test_two_files_for_one_place_are_refused_also_where_it_is_taken(tmp_path, band_main):
    (tmp_path / "a").mkdir()
    first, second = (write(folder / "x.wav", tones(400, 8000).sum(0)) for folder in (tmp_path, tmp_path / "a"))
    band_main(first)
    with pytest.raises(UserError, match="2 of 2 files were not separated"):
        band_main(first, second, "--skip_existing")


def test_options_that_leave_and_replace_exclude_each_other(tmp_path, band_main):
    path = write(tmp_path / "x.wav", tones(400, 8000).sum(0))
    with pytest.raises(UserError, match="--overwrite, --skip_existing: either"):
        band_main(path, "--overwrite", "--skip_existing")
    with pytest.raises(UserError, match="--skip_existing, --plot: are for files"):
        separate.main(["-", "--skip_existing"])


def test_folders_and_patterns(tmp_path, band_main, monkeypatch):
    """A folder's files keep their place within it; what is not audio is passed by."""
    for name in ("calls/a.wav", "calls/deep/a.flac", "calls/notes.txt", "x1.wav", "x2.wav", "y.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("txt"):
            (tmp_path / name).write_text("not audio")
        else:
            write(tmp_path / name, tones(400, 8000).sum(0), subtype="PCM_16")
    band_main(tmp_path / "calls", tmp_path / "x*.wav")
    names = [name for stem in ("a", "deep/a", "x1", "x2") for name in (f"{stem}_s1.wav", f"{stem}_s2.wav")]
    assert written(tmp_path) == sorted(names)
    with pytest.raises(UserError, match="no file is so named"):
        band_main(tmp_path / "z*.wav")


def test_channels_are_mixed_or_chosen(tmp_path, band_main, capsys):
    stereo = np.stack([tones(8000, 8000).sum(0), 0.5 * tones(8000, 8000)[0]], axis=1)  # [T, 2]
    path = write(tmp_path / "stereo.wav", stereo)
    for options, expected in (
        ([], stereo.mean(1)),
        (["--channel", "1"], stereo[:, 0]),
        (["--channel", "2"], stereo[:, 1]),
    ):
        band_main(path, "--overwrite", *options)
        estimates = np.stack([soundfile.read(tmp_path / "out" / f"stereo_s{number}.wav")[0] for number in (1, 2)])
        np.testing.assert_allclose(estimates.sum(0)[800:-800], expected[800:-800], atol=2e-3)
    assert capsys.readouterr().out.count("channels are mixed") == 1
    with pytest.raises(UserError, match="no channel 3, only 2"):
        band_main(path, "--channel", "3", "--overwrite")
    with pytest.raises(UserError, match="--channel left"):
        band_main(path, "--channel", "left")


@pytest.mark.parametrize("ending", ["mp3", "ogg", "flac"])
def test_pieces_of_a_compressed_file(tmp_path, band_main, ending):
    """Pieces are found in it to the sample: the estimates add up to the file as it is read from its start."""
    path = tmp_path / f"x.{ending}"
    soundfile.write(path, np.stack([tones(25 * 44100 + 5, 44100).sum(0)] * 2, axis=1), 44100)
    band_main(path)
    given = soundfile.read(path)[0].mean(1)
    estimates = np.stack([soundfile.read(tmp_path / "out" / f"x_s{number}.wav")[0] for number in (1, 2)])
    assert estimates.shape == (2, len(given))
    inside = slice(4410, -4410)
    np.testing.assert_allclose(estimates.sum(0)[inside], given[inside], atol=6e-3)


def test_no_part_of_a_recording_is_left_out_whose_header_does_not_hold_its_length(tmp_path, band_main):
    for seconds, name in ((3, "a.ogg"), (2, "b.ogg")):
        soundfile.write(tmp_path / name, tones(seconds * 16000, 16000).sum(0), 16000)
    (tmp_path / "x.ogg").write_bytes((tmp_path / "a.ogg").read_bytes() + (tmp_path / "b.ogg").read_bytes())
    band_main(tmp_path / "x.ogg")
    assert soundfile.info(tmp_path / "out" / "x_s2.wav").frames == 5 * 16000


def linked_in_circles(folder):
    """A recording in two folders whose links lead to both of them, and to themselves."""
    for name in "ab":
        (folder / name).mkdir(parents=True)
        for link in ("up", "again"):
            (folder / name / link).symlink_to("..")
    (folder / "0").symlink_to("b")  # comes first by its name, and yet the folder itself is taken
    (folder / "self").symlink_to("self")
    (folder / "lost").symlink_to("nowhere")
    write(folder / "b" / "x.wav", tones(400, 8000).sum(0))
    return folder


def test_a_folder_is_visited_once_whatever_links_lead_to_it(tmp_path, band_main):
    band_main(linked_in_circles(tmp_path / "calls"))
    assert written(tmp_path) == ["b/x_s1.wav", "b/x_s2.wav"]


def test_what_linux_makes_up_is_passed_by(tmp_path, capsys):
    """Its files have no end, and links in it lead to the whole disk."""
    for folder in ("/proc", "/sys"):
        with pytest.raises(UserError, match=f"{folder}: a folder without audio files"):
            inputs.find_files([folder])
    (tmp_path / "processes").symlink_to("/proc")
    write(tmp_path / "a.wav", tones(800, 8000).sum(0))
    for argument in (tmp_path, tmp_path / "**" / "*.wav"):
        capsys.readouterr()
        assert inputs.find_files([str(argument)]) == {f"{tmp_path}/a.wav": "a"}
        assert capsys.readouterr().out == f"{tmp_path}/processes: passed by, since Linux makes up what is in it\n"


@pytest.mark.parametrize("pattern", ["**/*.wav", "**"])
def test_a_pattern_visits_a_folder_once(tmp_path, band_main, pattern):
    assert inputs.matching(str(linked_in_circles(tmp_path / "calls") / pattern)) >= {str(tmp_path / "calls/b/x.wav")}
    band_main(tmp_path / "calls" / "**" / "*.wav")
    assert written(tmp_path) == ["x_s1.wav", "x_s2.wav"]


@pytest.mark.parametrize(
    "pattern", ["**", "**/*", "**/*.wav", "**/x.wav", "*/x.wav", "**/deep/**/*.wav", "a/**/y.wav", "*.flac", "[ab]/**"]
)
@pytest.mark.parametrize("absolute", [True, False])
def test_a_pattern_means_what_it_means_to_python(tmp_path, monkeypatch, pattern, absolute):
    monkeypatch.chdir(tmp_path)
    for name in ("x.wav", "a/x.wav", "a/deep/y.wav", "b/deep/c/x.wav", ".hidden/x.wav", "b/.y.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    pattern = str(tmp_path / pattern) if absolute else pattern
    expected = {path for path in glob.glob(pattern, recursive=True) if not path.endswith("/")}
    assert inputs.matching(pattern) == expected


def test_what_a_folder_holds_beside_recordings_is_named(tmp_path, band_main, capsys, monkeypatch):
    monkeypatch.setattr(media, "has_reader", lambda: False)
    calls = tmp_path / "calls"
    (calls / "deep").mkdir(parents=True)
    for name, form in (("a.wave", "WAV"), ("b.aifc", "AIFF"), ("c.sph", "NIST"), ("deep/d.SND", "AU")):
        soundfile.write(calls / name, tones(400, 8000).sum(0), 8000, "PCM_16", format=form)
    for name in ("notes.txt", "e.m4a", "deep/f.M4A", "README"):
        (calls / name).write_text("not audio that is read")
    band_main(calls)
    assert written(tmp_path) == sorted(
        f"{stem}_s{number}.wav" for stem in ("a", "b", "c", "deep/d") for number in (1, 2)
    )
    line = f"{calls}: passed by 2 .m4a, 1 .txt, 1 without an ending, since these endings are of no format that is read"
    assert f"{line}; pip install -r requirements/formats.txt brings what reads m4a" in capsys.readouterr().out
    (tmp_path / "phone").mkdir()
    (tmp_path / "phone" / "x.m4a").write_text("not audio that is read")
    with pytest.raises(UserError, match=r"phone: a folder without audio .*\(but 1 \.m4a\).*formats\.txt"):
        band_main(tmp_path / "phone")


def test_a_name_of_two_lines_is_printed_in_one(tmp_path, band_main, capsys):
    (tmp_path / "in\n").mkdir()
    write(tmp_path / "in\n" / "a\nb.wav", tones(800, 8000).sum(0))
    (tmp_path / "in\n" / "bad\n.wav").write_bytes(b"no audio")
    with pytest.raises(UserError, match="1 of 2 files"):
        band_main(tmp_path / "in\n")
    out, err = capsys.readouterr()
    (line,), (error,) = out.splitlines(), [line for line in err.splitlines() if line.startswith("error")]
    assert r"in\n/a\nb.wav: " in line and r"a\nb_s1.wav" in line
    assert r"in\n/bad\n.wav: not an audio file" in error
    assert written(tmp_path) == ["a\nb_s1.wav", "a\nb_s2.wav"]
