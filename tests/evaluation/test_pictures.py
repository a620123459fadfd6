"""evaluation/pictures.py: what is drawn and heard is what was given."""

import base64
import io
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from pages import contrast
from PIL import Image

from evaluation import pictures

RATE = 8000


def content(uri, kind):
    assert uri.startswith(f"data:{kind};base64,")
    return io.BytesIO(base64.b64decode(uri.split(",")[1]))


def test_sound_is_the_samples_in_sixteen_bits():
    samples = np.random.default_rng(0).uniform(-1, 1, 4001)
    heard, rate = soundfile.read(content(pictures.sound(samples, RATE), "audio/flac"))
    assert rate == RATE
    np.testing.assert_allclose(heard, samples, atol=1.01 / 2**15)


def test_picture_shows_when_and_at_which_frequency():
    moments = np.arange(2 * RATE) / RATE
    samples = np.where(moments < 1, np.sin(2 * np.pi * 1000 * moments), 0.5 * np.sin(2 * np.pi * 3000 * moments))
    image = Image.open(content(pictures.signal_picture(samples, RATE), "image/webp")).convert("RGBA")
    assert image.size == (800, 240)
    opaque = np.asarray(image)[..., 3] > 128
    heights = opaque[:76].sum(0)  # of the waveform, in the upper third
    assert heights[100] == pytest.approx(76, abs=4) and heights[700] == pytest.approx(38, abs=4)
    brightness = np.asarray(image.convert("L"), float)[87:240]  # the spectrogram, high frequencies above
    for column, frequency in ((200, 1000), (600, 3000)):
        row = brightness[:, column - 20 : column + 20].mean(1).argmax()
        assert (1 - (row + 0.5) / len(brightness)) * RATE / 2 == pytest.approx(frequency, abs=60)


@pytest.mark.parametrize("samples", [np.zeros(1), np.zeros(5000), np.ones(17)])
def test_picture_of_little_or_nothing(samples):
    image = Image.open(content(pictures.signal_picture(samples, RATE), "image/webp"))
    assert image.size == (800, 240)


@pytest.mark.parametrize("values", [[3.0], [2.0, 2.0], [-100.0, 12.5, 90.0]])
def test_histogram_has_every_value_in_a_bar(monkeypatch, values):
    monkeypatch.setattr(pictures, "_chart", draw_alone)
    for axes in pictures.histogram(np.array(values)).values():
        assert sum(bar.get_height() for bar in axes.patches) == len(values)


def draw_alone(draw, palette):
    axes = Figure().add_subplot()
    draw(axes, palette)
    return axes


def test_charts_are_svg_in_the_colours_of_both_schemes_and_small():
    random = np.random.default_rng(0)
    for charts in (
        pictures.histogram(random.normal(9, 2, 3000)),
        pictures.scatter(random.normal(0, 3, 6000), random.normal(9, 2, 6000)),
    ):
        assert list(charts) == ["light", "dark"]
        for scheme, uri in charts.items():
            text = content(uri, "image/svg+xml").read().decode()
            assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
            assert pictures.PALETTES[scheme]["muted"] in text
            assert len(text) < 300_000


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_can_be_told_apart(scheme):
    palette = {name: 255 * np.array(to_rgb(colour)) for name, colour in pictures.PALETTES[scheme].items()}
    for behind in ("background", "surface"):
        for name in ("text", "muted", "accent"):
            assert contrast(palette[name], palette[behind]) >= 4.5
        assert contrast(255 * np.array(to_rgb(pictures.WAVE)), palette[behind]) >= 3
