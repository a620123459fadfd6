"""The charts, pictures and sounds of report.py, each as a data URI that a page holds in itself."""

import base64
from collections.abc import Callable, Sequence
from io import BytesIO

import numpy as np
import soundfile
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from common.audio import as_steps
from recordings.picture import HOP_SECONDS, HOPS_IN_WINDOW, RANGE_DB, gather_columns

# Colours of the page and of what is drawn for it. Text, muted and accent can be read on background and surface: 4.5 : 1
# or more, as WCAG AA asks.
PALETTES = {
    "light": {
        "background": "#faf9f6",
        "surface": "#ffffff",
        "text": "#1c2326",
        "muted": "#566166",
        "line": "#e0ddd5",
        "accent": "#0b6b72",
    },
    "dark": {
        "background": "#12171a",
        "surface": "#1a2124",
        "text": "#e7ebec",
        "muted": "#9dabb0",
        "line": "#2f393d",
        "accent": "#5cc8cd",
    },
}
WAVE = "#2b9299"  # of waveforms, which are drawn once for both: 3 : 1 or more on either surface

BRIGHTEST_DB = -15  # in spectrograms: a voice that peaks at 1 is spread over many frequencies


def histogram(improvements: Sequence[float]) -> dict[str, str]:
    """How many mixtures improved by how many dB, and their mean as a line: SVG data URIs {"light", "dark"}."""
    mean = np.mean(improvements)
    bins = int(np.clip(2 * len(improvements) ** 0.5, 5, 40))
    edges = MaxNLocator(bins).tick_values(min(improvements), max(improvements))

    def draw(axes: Axes, palette: dict[str, str]) -> None:
        axes.hist(improvements, edges, color=palette["accent"], edgecolor=palette["surface"], linewidth=0.8)
        axes.axvline(mean, color=palette["text"], linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate(f"mean {mean:.2f}", (mean, 1), (6, -2), xycoords=("data", "axes fraction"),
                      textcoords="offset points", va="top", color=palette["text"])  # fmt: skip
        axes.set_xlabel("SI-SNR improvement, dB")
        axes.set_ylabel("mixtures")
        axes.margins(y=0.15)
        axes.yaxis.get_major_locator().set_params(integer=True)

    return _in_both_schemes(draw)


def scatter(inputs: Sequence[float], improvements: Sequence[float]) -> dict[str, str]:
    """Improvement against input SI-SNR, a point a source: SVG data URIs {"light", "dark"}."""

    def draw(axes: Axes, palette: dict[str, str]) -> None:
        few = len(inputs) <= 200
        axes.axhline(0, color=palette["muted"], linewidth=0.8, linestyle=(0, (4, 3)))
        # Thousands of points would be megabytes of SVG; these are pixels within it.
        axes.scatter(inputs, improvements, 22 if few else 9, color=palette["accent"], alpha=0.65 if few else 0.3,
                     linewidths=0, rasterized=True)  # fmt: skip
        axes.set_xlabel("SI-SNR in the mixture, dB")
        axes.set_ylabel("SI-SNR improvement, dB")

    return _in_both_schemes(draw)


def _in_both_schemes(draw: Callable[[Axes, dict[str, str]], None]) -> dict[str, str]:
    return {scheme: _chart(draw, palette) for scheme, palette in PALETTES.items()}


def _chart(draw: Callable[[Axes, dict[str, str]], None], palette: dict[str, str]) -> str:
    """An SVG of axes that `draw(axes, palette)` fills, as a data URI."""
    colours = {
        "text.color": palette["muted"],
        "axes.labelcolor": palette["muted"],
        "xtick.color": palette["muted"],
        "ytick.color": palette["muted"],
        "axes.edgecolor": palette["line"],
        "grid.color": palette["line"],
        "axes.facecolor": "none",
        "figure.facecolor": "none",
    }
    with rc_context(colours | {"font.size": 11.5, "axes.axisbelow": True, "svg.hashsalt": "report"}):
        figure = Figure(figsize=(4.8, 3.3), layout="constrained")
        axes = figure.add_subplot()
        draw(axes, palette)
        axes.grid(axis="y", linewidth=0.8)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(length=0, pad=6)
        buffer = BytesIO()
        figure.savefig(buffer, format="svg", dpi=200, metadata={"Date": None})
    return data_uri("image/svg+xml", buffer.getvalue())


def signal_picture(samples: np.ndarray, sample_rate: int) -> str:
    """The waveform of samples [T] within -1 and 1 above their spectrogram, from edge to edge: a data URI of WebP."""
    hop = max(1, round(HOP_SECONDS * sample_rate))
    gathered = gather_columns(lambda start, length: samples[np.newaxis, start : start + length], len(samples), hop)
    return columns_picture(*(each[0] for each in gathered), hop)


def columns_picture(lowest: np.ndarray, highest: np.ndarray, power: np.ndarray, hop: int) -> str:
    """The same of what `gather_columns` returns for one signal: lowest and highest samples [columns], power [.., F]."""
    figure = Figure(figsize=(8, 2.4))
    wave, spectrogram = figure.add_axes((0, 0.68, 1, 0.32)), figure.add_axes((0, 0, 1, 0.64))
    wave.fill_between(np.arange(len(lowest)), lowest - 0.01, highest + 0.01, color=WAVE, linewidth=0)
    wave.set(xlim=(0, max(len(lowest) - 1, 1)), ylim=(-1.02, 1.02))
    sine = (HOPS_IN_WINDOW * hop / 4) ** 2  # the power of a sine of amplitude 1 at its frequency
    decibels = 10 * np.log10(np.maximum(power.T / sine, 1e-12))  # [F, columns]
    limits = {"vmin": BRIGHTEST_DB - RANGE_DB, "vmax": BRIGHTEST_DB}
    spectrogram.imshow(decibels, "magma", aspect="auto", origin="lower", **limits)
    for axes in (wave, spectrogram):
        axes.set_axis_off()
    buffer = BytesIO()
    figure.savefig(buffer, format="webp", dpi=100, transparent=True, pil_kwargs={"quality": 80})
    return data_uri("image/webp", buffer.getvalue())


def sound(samples: np.ndarray, sample_rate: int) -> str:
    """Samples [T] within -1 and 1 as a data URI of 16-bit FLAC, for speech about two thirds of the size of wav."""
    buffer = BytesIO()
    soundfile.write(buffer, as_steps(samples, "PCM_16"), sample_rate, format="FLAC", subtype="PCM_16")
    return data_uri("audio/flac", buffer.getvalue())


def data_uri(kind: str, content: bytes) -> str:
    """Bytes of this MIME type as a data URI."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
