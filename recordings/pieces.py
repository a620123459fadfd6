"""Recordings of any length in flat memory: separated in pieces that overlap, and joined.

A piece may give the speakers in another order than the one before it. So all pieces are separated first, their orders
are decided together (recordings/voices.py), and then one piece is faded into the other where they overlap.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator

from device import Network

import numpy as np

from common.estimates import mixture_gains, require_finite
from common.files import writing
from common.numbers import ceil_div
from common.signals import remove
from network.in_numpy import NumpyNetwork
from recordings.resampling import Reader
from recordings.voices import agreement, describe, speaker_orders

PIECE_SECONDS = 16.0  # longer ones need more memory
OVERLAP_SECONDS = 4.0  # shorter ones hold too little speech to tell the speakers apart
TRAINING_LEVEL = 0.05  # root mean square, about that of LibriMix's mixtures
RESOLUTION = 1e-6  # of the highest sample: what varies less is the rounding of 32-bit floats


class PieceFile:
    """The estimates of a recording's pieces, in a file in this folder, which goes when the `with` block is left."""

    def __init__(self, folder: str):
        self.path, self.shapes = os.path.join(folder, "pieces"), []

    def __enter__(self) -> "PieceFile":
        return self

    def __exit__(self, *_) -> None:
        remove(self.path)

    def append(self, estimates: np.ndarray) -> None:
        """Add a piece's estimates, float32 [C, n]. Raises UserError if the disk is full."""
        with writing(self.path), open(self.path, "ab") as file:
            file.write(np.ascontiguousarray(estimates))
        self.shapes.append(estimates.shape)

    def __iter__(self) -> Iterator[np.ndarray]:
        """The estimates, piece by piece."""
        with open(self.path, "rb") as file:
            for shape in self.shapes:
                yield np.fromfile(file, np.float32, math.prod(shape)).reshape(shape)


def piece_length(samples: int, sample_rate: int) -> int:
    """Samples of the pieces in which a recording of so many is separated: one of a few fixed lengths.

    Graph mode compiles anew for each length. A recording that is no longer than a piece is one.
    """
    return padded_length(min(samples, round(PIECE_SECONDS * sample_rate)), sample_rate)


def padded_length(samples: int, sample_rate: int) -> int:
    """The first of a few fixed lengths that is not below `samples`.

    They are about 10 % apart, in tenths of a second (1, 2, ... 10, 11, 13, 15, 17, 19, 21, 24, ...), because graph
    mode compiles anew for each length that it meets.
    """
    tenths = 1
    while (fixed := math.ceil(tenths * sample_rate / 10)) < samples:
        tenths = ceil_div(tenths * 11, 10)
    return fixed


def separate_in_pieces(
    net: Network,
    read: Reader,
    samples: int,
    piece: int,
    kept: list[np.ndarray] | PieceFile,
    separated: Callable[[int], object] = lambda samples: None,
) -> Iterator[np.ndarray]:
    """Separate a recording piece by piece.

    Args:
        net: from `device.load_to_separate`, for C speakers.
        read: gives the stretch read(start, length) of the recording, float32 [length], at the network's rate.
        samples: length of the recording, T.
        piece: samples of a piece, from `piece_length`.
        kept: empty; the estimates of the pieces wait in it, if there are several.
        separated: function that is called when so many more samples are separated.

    Yields the estimates [C, T] as `join_pieces` does, the first when all is separated. Raises UserError if the network
    gives NaN.
    """
    starts = piece_starts(samples, piece, round(OVERLAP_SECONDS * net.sample_rate), net.options.hop)
    for start, following in zip(starts, [*starts[1:], samples], strict=True):
        mixture = without_offset(read(start, min(piece, samples - start)))
        estimates = at_level(estimate(net, mixture, piece), mixture)
        separated(following - start)
        if len(starts) == 1:
            yield estimates
            return
        kept.append(estimates)
    yield from join_pieces(starts, samples, net.sample_rate, lambda: kept)


def piece_starts(samples: int, piece: int, overlap: int, hop: int) -> list[int]:
    """First samples of as few pieces as cover a recording, each sharing about `overlap` samples or more with the next.

    They are multiples of the hop, so that the network's frames lie as in the whole recording.
    """
    if samples <= piece:
        return [0]
    count = ceil_div(samples - overlap, piece - overlap)
    return (np.ceil(np.linspace(0, samples - piece, count) / hop).astype(int) * hop).tolist()


def estimate(net: Network, mixture: np.ndarray, samples: int) -> np.ndarray:
    """The network's estimates [C, T] of one mixture [T], padded to so many samples where a graph computes them.

    Their level is open, since the network hears the mixture `as_in_training`.
    """
    heard = as_in_training(mixture)
    if isinstance(net, NumpyNetwork):
        estimates = net(heard)
    else:
        import mindspore as ms  # seconds, for this alone

        padded = np.zeros((1, samples), np.float32)
        padded[0, : len(heard)] = heard
        estimates = net(ms.Tensor(padded), ms.Tensor([len(heard)], ms.int32)).asnumpy()[0, :, : len(heard)].copy()
    require_finite(estimates)
    return estimates


def as_in_training(mixture: np.ndarray) -> np.ndarray:
    """The mixture [T] without a microphone's offset, and at the level of the speech that networks are trained on.

    A network takes an offset for speech, and is lost where its norms' epsilon is not small beside the mixture.
    """
    rounding = RESOLUTION * np.abs(mixture).max()
    level = max(mixture.std(dtype=np.float64), rounding, np.finfo(np.float32).tiny)
    return without_offset(mixture) * (TRAINING_LEVEL / level)


def without_offset(mixture: np.ndarray) -> np.ndarray:
    """The mixture [T] less its mean, which is nobody's voice."""
    return mixture - mixture.mean(dtype=np.float64)


def at_level(estimates: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """Estimates [C, n] of a mixture [n], at the levels with which they add up to it as closely as gains allow."""
    estimates *= mixture_gains(estimates, mixture)[:, np.newaxis]
    return estimates


def join_pieces(
    starts: list[int], samples: int, sample_rate: int, pieces: Callable[[], Iterable[np.ndarray]]
) -> Iterator[np.ndarray]:
    """Join the estimates of the pieces of a recording, holding two pieces at once.

    Args:
        starts: first sample of each piece, from `piece_starts`.
        samples: length of the recording, T.
        sample_rate: in Hz.
        pieces: function that gives an iterator over the pieces' estimates, float32 [C, n], from `at_level`. It is
            called twice, since the orders are decided over all pieces together.

    Yields the estimates [C, T], float32, in stretches, a piece's each.
    """
    ends = [*starts[1:], samples]
    tail = None  # what is joined already of the stretch that the next piece begins with: [C, overlap]
    orders = decide_orders(starts, sample_rate, pieces())
    for start, following, estimates, order in zip(starts, ends, pieces(), orders, strict=True):
        estimates = estimates[order]
        if tail is not None:
            fade_from(tail, estimates)
        yield estimates[:, : following - start]
        tail = estimates[:, following - start :]


def decide_orders(starts: list[int], sample_rate: int, pieces: Iterable[np.ndarray]) -> np.ndarray:
    """The orders of the pieces' speakers, int [K, C], as `speaker_orders` gives them; see `join_pieces`."""
    descriptions, agreements = [], []
    before = None
    for number, estimates in enumerate(pieces):
        descriptions.append(describe(estimates, sample_rate))
        if number > 0:
            tail = before[:, starts[number] - starts[number - 1] :]
            agreements.append(agreement(tail, estimates[:, : tail.shape[1]]))
        before = estimates
    return speaker_orders(descriptions, agreements)


def fade_from(tail: np.ndarray, estimates: np.ndarray) -> None:
    """Fade from `tail` [C, overlap] into `estimates` [C, n], which are changed."""
    overlap = tail.shape[1]
    fade = np.sin(np.pi / 2 * (np.arange(overlap) + 0.5) / overlap).astype(np.float32) ** 2
    estimates[:, :overlap] = (1 - fade) * tail + fade * estimates[:, :overlap]
