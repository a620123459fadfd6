"""recordings/picture.py: every sample is in the picture, memory is flat, whatever separate.py takes is drawn."""

import warnings

import numpy as np
import pytest
from PIL import Image
from small_recordings import tones, write, written

from common.errors import UserError
from recordings import picture
from recordings.picture import COLUMNS, HOPS_AT_ONCE, draw_picture, gather_columns

HOP = 8  # short, so that many columns take few samples


def reader(signals):
    return lambda start, length: signals[:, start : start + length]


@pytest.mark.parametrize("samples", [1, 10, 999, 1001, 3 * HOPS_AT_ONCE * HOP + 5])
def test_columns_show_all_samples_and_spectra_of_the_whole(samples):
    signals = np.random.default_rng(0).normal(size=(3, samples)).astype(np.float32)
    lowest, highest, power = gather_columns(reader(signals), samples, HOP)
    column = np.arange(samples) * lowest.shape[1] // samples
    assert lowest.shape == highest.shape == (3, min(samples, COLUMNS))
    for number in {0, lowest.shape[1] // 2, lowest.shape[1] - 1}:
        np.testing.assert_array_equal(lowest[:, number], signals[:, column == number].min(1))
        np.testing.assert_array_equal(highest[:, number], signals[:, column == number].max(1))

    hops, window = -(-samples // HOP), 4 * HOP
    padded = np.pad(signals.astype(np.float64), ((0, 0), (12, window)))  # the first window begins 1.5 hops before
    spectra = [np.fft.rfft(padded[:, k * HOP : k * HOP + window] * np.hanning(window)) for k in range(hops)]
    each = np.abs(np.stack(spectra, axis=1)) ** 2  # [3, hops, F]
    column = np.arange(hops) * power.shape[1] // hops
    expected = np.stack([each[:, column == number].mean(1) for number in range(power.shape[1])], axis=1)
    np.testing.assert_allclose(power, expected, rtol=1e-9, atol=1e-9)


def test_what_is_read_at_once_does_not_grow_with_the_recording():
    asked = []

    def read(start, length):
        asked.append(length)
        return np.zeros((2, length), np.float32)

    samples = 3600 * 8000
    lowest, _, power = gather_columns(read, samples, 64)
    assert lowest.shape == (2, COLUMNS) and power.shape == (2, COLUMNS, 129)
    assert max(asked) < 10 * 8000
    assert sum(asked) < 1.1 * samples


@pytest.mark.parametrize("level", [0, 1e-30, 1e6])
@pytest.mark.parametrize("samples", [1, 10])
def test_short_silent_and_loud_recordings(tmp_path, samples, level):
    signals = level * np.random.default_rng(0).normal(size=(4, samples)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_picture(str(tmp_path / "x.png"), "x.wav", reader(signals), samples, 8000)
    with Image.open(tmp_path / "x.png") as image:
        assert image.format == "PNG" and image.width == 1400 and image.height == 850


def test_silence_is_dark():
    zeros = np.zeros((2, 8000), np.float32)
    for axes in picture.draw_figure(*gather_columns(reader(zeros), 8000, 64), 1.0, 8000, 64).axes[1:4:2]:
        assert axes.images[0].get_array().max() < -picture.RANGE_DB


def test_time_is_in_seconds_and_every_row_has_its_name_and_frequencies():
    """A click at 0.75 s and a tone of 1 kHz until 0.5 s, where the axes say."""
    time = np.arange(8001) / 8000
    signals = np.zeros((2, 8001), np.float32)
    signals[0] = 0.1 * np.sin(2 * np.pi * 1000 * time) * (time < 0.5)
    signals[1, 6000] = 0.5
    figure = picture.draw_figure(*gather_columns(reader(signals), 8001, 64), 8001 / 8000, 8000, 64)
    wave, spectrum = figure.axes[0], figure.axes[1]
    assert [axes.get_ylabel() for axes in figure.axes[::2][:2]] == ["mixture", "s1"]
    assert wave.get_xlim() == pytest.approx((0, 8001 / 8000)) and "s" in figure.axes[2].get_xlabel()
    outline = figure.axes[2].collections[0].get_paths()[0].vertices
    assert outline[outline[:, 1].argmax(), 0] == pytest.approx(0.75, abs=2e-3)
    image = spectrum.images[0]
    left, right, bottom, top = image.get_extent()
    decibels = np.asarray(image.get_array())  # [F, columns]
    row, column = np.unravel_index(decibels.argmax(), decibels.shape)
    assert bottom + row * (top - bottom) / (len(decibels) - 1) == pytest.approx(1, abs=0.02)
    assert left + (column + 0.5) * (right - left) / decibels.shape[1] < 0.5


@pytest.mark.parametrize("name", ["a$b$_{.wav", "会议.wav", "broken \udcff.wav", "two\nlines.wav", "x" * 251 + ".wav"])
def test_any_name_is_a_title(tmp_path, name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_picture(str(tmp_path / "x.png"), name, reader(np.zeros((3, 100), np.float32)), 100, 8000)
    assert (tmp_path / "x.png").stat().st_size > 1000


def test_a_picture_beside_the_estimates(tmp_path, band_main, capsys):
    stereo = np.stack([tones(30000, 44100).sum(0)] * 2, axis=1)
    path = write(tmp_path / "calls.flac", stereo, 44100, "PCM_16")
    band_main(path, "--plot")
    assert written(tmp_path) == ["calls.png", "calls_s1.wav", "calls_s2.wav"]
    assert f"{tmp_path}/out/calls.png" in capsys.readouterr().out
    with Image.open(tmp_path / "out" / "calls.png") as image:
        assert image.format == "PNG"


def test_a_picture_that_is_there_stays_unless_overwrite_is_given(tmp_path, band_main):
    path = write(tmp_path / "x.wav", tones(400, 8000).sum(0))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x.png").write_text("mine")
    with pytest.raises(UserError, match=r"x\.png: is there already"):
        band_main(path, "--plot")
    assert written(tmp_path) == ["x.png"]
    band_main(path)  # without a picture nothing is in the way
    assert (tmp_path / "out" / "x.png").read_text() == "mine"
    band_main(path, "--plot", "--overwrite")
    with Image.open(tmp_path / "out" / "x.png") as image:
        assert image.format == "PNG"


def test_a_picture_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"x\.png: cannot be written") as error:
        draw_picture(str(tmp_path / "none" / "x.png"), "x", reader(np.zeros((3, 100), np.float32)), 100, 8000)
    assert "\n" not in str(error.value)
