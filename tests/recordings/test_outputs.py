"""recordings/outputs.py: estimates are of their recording's rate, length, resolution and texts, and never clipped."""

import os

import numpy as np
import pytest
import soundfile
from small_recordings import tones, write

from common.errors import UserError
from recordings import inputs


@pytest.mark.parametrize(("level", "subtype"), [(0.3, "PCM_16"), (3.0, "FLOAT")])
def test_files_add_up_to_the_recording_and_are_not_clipped(tmp_path, band_main, capsys, level, subtype):
    mixture = tones(16001, 8000, level).sum(0)
    band_main(write(tmp_path / "loud.v2.wav", mixture, subtype=subtype))
    paths = [tmp_path / "out" / f"loud.v2_s{number}.wav" for number in (1, 2)]
    assert sorted(paths) == sorted((tmp_path / "out").iterdir())
    assert {soundfile.info(path).subtype for path in paths} == {subtype}
    estimates = np.stack([soundfile.read(path)[0] for path in paths])
    assert np.abs(estimates).max() == pytest.approx(level, rel=0.1)
    assert np.abs(estimates.sum(0) - mixture).max() < 1e-4
    assert ("32-bit float" in capsys.readouterr().out) == (subtype == "FLOAT")


def test_files_have_the_rate_and_length_of_the_recording(tmp_path, band_main):
    band_main(write(tmp_path / "a.flac", tones(44107, 44100).sum(0), 44100, "PCM_16"), write(tmp_path / "b.wav", [0.5]))
    for name, frames, sample_rate in (("a_s1", 44107, 44100), ("a_s2", 44107, 44100), ("b_s2", 1, 8000)):
        info = soundfile.info(tmp_path / "out" / f"{name}.wav")
        assert (info.frames, info.samplerate, info.channels) == (frames, sample_rate, 1)


@pytest.mark.parametrize(
    ("given", "options", "expected"),
    [
        ("PCM_16", [], "PCM_16"),
        ("PCM_24", [], "PCM_24"),
        ("FLOAT", [], "FLOAT"),
        ("PCM_U8", [], "PCM_16"),
        ("PCM_16", ["--encoding", "24"], "PCM_24"),
        ("FLOAT", ["--encoding", "16"], "PCM_16"),
    ],
)
def test_resolution_and_texts_of_the_recording_are_kept(tmp_path, band_main, given, options, expected):
    path = str(tmp_path / "x.wav")
    with soundfile.SoundFile(path, "w", 8000, 1, given) as file:
        file.title = "A meeting"
        file.write(tones(800, 8000).sum(0))
    band_main(path, *options)
    with soundfile.SoundFile(tmp_path / "out" / "x_s2.wav") as file:
        assert (file.subtype, file.title, file.frames) == (expected, "A meeting", 800)


def test_a_step_of_24_bits_is_kept(tmp_path, band_main):
    """The sum of the estimates is the recording to the rounding of two files of 24 bits and of float32."""
    mixture = tones(8000, 8000).sum(0)
    band_main(write(tmp_path / "x.wav", mixture, subtype="PCM_24"))
    estimates = np.stack([soundfile.read(tmp_path / "out" / f"x_s{number}.wav")[0] for number in (1, 2)])
    given, _ = soundfile.read(tmp_path / "x.wav")
    assert np.abs(estimates.sum(0) - given).max() < 2e-6


@pytest.mark.parametrize(("subtype", "step"), [("PCM_16", 2**-15), ("PCM_24", 2**-23)])
@pytest.mark.parametrize("sample_rate", [11025, 22050, 44100, 48000, 7999])
def test_estimates_at_other_rates_add_up_to_what_both_rates_carry(tmp_path, band_main, sample_rate, subtype, step):
    """To the rounding of two files and what float32 and soxr leave; the ends, where tones begin, left out."""
    band_main(write(tmp_path / "x.wav", tones(2 * sample_rate + 1, sample_rate).sum(0), sample_rate, subtype))
    files = [soundfile.SoundFile(tmp_path / "out" / f"x_s{number}.wav") for number in (1, 2)]
    assert {(file.samplerate, file.frames, file.subtype) for file in files} == {
        (sample_rate, 2 * sample_rate + 1, subtype)
    }
    estimates = np.stack([file.read() for file in files])
    given, _ = soundfile.read(tmp_path / "x.wav")
    inside = slice(sample_rate // 4, -sample_rate // 4)
    assert np.abs(estimates.sum(0) - given)[inside].max() < 2 * step + 2e-5


def test_out_dir_that_cannot_be_made_is_an_error(tmp_path, band_main):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UserError, match="out: cannot be made"):
        band_main(write(tmp_path / "x.wav", [0.1] * 50))


@pytest.mark.slow
def test_memory_is_flat_in_the_length_of_a_recording(tmp_path, band_main, monkeypatch):
    """Neither the recording nor the estimates are ever whole in memory: the largest array is a piece."""
    largest = []
    decode = inputs.decode_open

    def noted(*args, **options):
        samples = decode(*args, **options)
        largest.append(len(samples))
        return samples

    monkeypatch.setattr(inputs, "decode_open", noted)
    band_main(write(tmp_path / "long.wav", np.tile(tones(8000, 8000).sum(0), 300), subtype="PCM_16"))
    assert soundfile.info(tmp_path / "out" / "long_s1.wav").frames == 300 * 8000
    assert len(largest) > 20
    assert max(largest) <= 17 * 8000


def test_names_that_are_not_utf8(tmp_path, band_main):
    """The recording's, its folder's and so the estimates' and the picture's."""
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    with open(folder + b"/voil\xe0.wav", "wb") as file:
        soundfile.write(file, tones(800, 8000).sum(0), 8000, format="WAV", subtype="PCM_24")
    band_main(os.fsdecode(folder), "--plot")
    assert sorted(os.listdir(os.fsencode(tmp_path / "out"))) == [
        b"voil\xe0.png",
        b"voil\xe0_s1.wav",
        b"voil\xe0_s2.wav",
    ]
    with open(os.fsencode(tmp_path / "out") + b"/voil\xe0_s1.wav", "rb") as file:
        assert soundfile.info(file).frames == 800
