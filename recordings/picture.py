"""The picture that separate.py --plot draws: waveform and spectrogram of a recording and of each of its estimates.

A picture has room for some hundred columns. What a recording of any length shows in each is gathered stretch by
stretch, so that memory does not grow with the length: the lowest and the highest sample, and the mean power at each
frequency.
"""

import warnings

import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure

from common.files import whole_file
from common.numbers import ceil_div
from common.wording import printable
from recordings.resampling import Reader

COLUMNS = 1000  # at most
HOP_SECONDS = 0.008  # from one spectrum to the next
HOPS_IN_WINDOW = 4
HOPS_AT_ONCE = 1024
RANGE_DB = 70  # what is further below the loudest spot of the picture is as dark as silence
FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "WenQuanYi Zen Hei", "PingFang SC", "Microsoft YaHei", "SimHei")  # of names


def draw_picture(path: str, name: str, read: Reader, samples: int, sample_rate: int) -> None:
    """Draw a recording and its estimates into a PNG file, whole or not at all.

    Args:
        path: of the file to write.
        name: the recording's, which becomes the title.
        read: gives the stretch read(start, length) of the mixture and of its C estimates, float32 [1 + C, length].
        samples: length of the recording, T.
        sample_rate: of these samples, in Hz.

    Raises UserError if the file cannot be written.
    """
    hop = max(1, round(HOP_SECONDS * sample_rate))
    figure = draw_figure(*gather_columns(read, samples, hop), samples / sample_rate, sample_rate, hop)
    fonts = [font for font in FONTS if font in font_manager.get_font_names()]
    figure.suptitle(printable(name), parse_math=False, fontfamily=fonts)
    with whole_file(path) as partial, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a title has boxes for what no font here has
        figure.savefig(partial, format="png", dpi=100)


def gather_columns(read: Reader, samples: int, hop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the columns of a picture show of signals [S, T] of so many samples, read as `draw_picture` reads them.

    Returns the lowest and the highest sample, both [S, columns of waveform], and the mean power of the spectra, each of
    a Hann window about a hop: [S, columns of spectrogram, F].
    """
    window = HOPS_IN_WINDOW * hop
    margin = (window - hop) // 2  # of a window, before and after its hop
    signals, hops = len(read(0, 1)), ceil_div(samples, hop)
    lowest = np.full((signals, min(samples, COLUMNS)), np.inf, np.float32)
    highest = -lowest
    power = np.zeros((signals, min(hops, COLUMNS), window // 2 + 1))
    for start in range(0, samples, HOPS_AT_ONCE * hop):
        stop = min(start + HOPS_AT_ONCE * hop, samples)
        first, last = max(0, start - margin), min(stop + window, samples)
        stretch = read(first, last - first)
        inside = stretch[:, start - first : stop - first]
        reduce_into(np.minimum, inside, lowest, start, samples)
        reduce_into(np.maximum, inside, highest, start, samples)
        stretch = np.pad(stretch, ((0, 0), (margin - (start - first), stop + window - last)))
        frames = np.lib.stride_tricks.sliding_window_view(stretch, window, axis=1)[:, : stop - start : hop]
        spectra = np.fft.rfft(frames * np.hanning(window))  # [S, hops, F]
        reduce_into(np.add, np.abs(spectra) ** 2, power, start // hop, hops)
    return lowest, highest, power / np.diff(column_edges(power.shape[1], hops))[:, np.newaxis]


def column_edges(columns: int, n: int) -> np.ndarray:
    """The number of the first value in each column, where columns share n values; and n: int [columns + 1]."""
    return ceil_div(np.arange(columns + 1) * n, columns)


def reduce_into(function: np.ufunc, values: np.ndarray, columns: np.ndarray, start: int, n: int) -> None:
    """Reduce values [S, some, ...] to columns [S, columns, ...]; the first of them is number `start` of n."""
    edges = column_edges(columns.shape[1], n)
    first, last = np.searchsorted(edges, [start, start + values.shape[1] - 1], side="right") - 1
    part = columns[:, first : last + 1]
    function(part, function.reduceat(values, np.maximum(edges[first : last + 1] - start, 0), axis=1), out=part)


def draw_figure(
    lowest: np.ndarray, highest: np.ndarray, power: np.ndarray, seconds: float, sample_rate: int, hop: int
) -> Figure:
    """Show what `gather_columns` returns, a row a signal: waveform and spectrogram over the same seconds."""
    signals, columns = lowest.shape
    times = (np.arange(columns) + 0.5) / columns * seconds
    decibels = 10 * np.log10(np.maximum(power, 1e-30) / (power.max() or 1))
    ends = ceil_div(round(seconds * sample_rate), hop) * hop / sample_rate  # of the last hop
    figure = Figure(figsize=(14, 0.9 + 1.9 * signals), layout="constrained")
    axes = figure.subplots(signals, 2, sharex=True, sharey="col")
    for signal, (left, right) in enumerate(axes):
        left.fill_between(times, lowest[signal], highest[signal], color="#1b6ca8", linewidth=0.6)
        left.set_ylabel("mixture" if signal == 0 else f"s{signal}", weight="bold")
        left.grid(alpha=0.3)
        image = right.imshow(
            decibels[signal].T,
            extent=(0, ends, 0, sample_rate / 2000),
            vmin=-RANGE_DB,
            vmax=0,
            origin="lower",
            aspect="auto",
            cmap="magma",
        )
        right.set_ylabel("kHz")
    for each in axes[-1]:
        each.set_xlabel("time, s")
    axes[0, 0].set_xlim(0, seconds)
    figure.colorbar(image, ax=axes[:, 1], label="dB, the loudest spot 0", pad=0.01)
    return figure
