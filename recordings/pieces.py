"""Recordings of any length in flat memory: separated in pieces that overlap, and joined.

A piece may give the speakers in another order than the one before it. Both heard the same speech where they overlap,
so there the order is taken that agrees best, and one piece is faded into the other.
"""

import math
from collections.abc import Iterable, Iterator

from device import Network

import numpy as np

from common.estimates import best_permutation, mixture_gains, require_finite
from common.numbers import ceil_div
from network.in_numpy import NumpyNetwork
from recordings.resampling import Reader

PIECE_SECONDS = 16.0  # longer ones need more memory
OVERLAP_SECONDS = 4.0  # shorter ones hold too little speech to tell the speakers apart
TRAINING_LEVEL = 0.05  # root mean square, about that of LibriMix's mixtures
RESOLUTION = 1e-6  # of the highest sample: what varies less is the rounding of 32-bit floats


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


def separate_in_pieces(net: Network, read: Reader, samples: int, piece: int) -> Iterator[np.ndarray]:
    """Separate a recording piece by piece.

    Args:
        net: from `device.load_to_separate`, for C speakers.
        read: gives the stretch read(start, length) of the recording, float32 [length], at the network's rate.
        samples: length of the recording, T.
        piece: samples of a piece, from `piece_length`.

    Yields the estimates [C, T] as `join_pieces` does. Raises UserError if the network gives NaN.
    """
    starts = piece_starts(samples, piece, round(OVERLAP_SECONDS * net.sample_rate), net.options.hop)
    mixtures = (without_offset(read(start, min(piece, samples - start))) for start in starts)
    return join_pieces(starts, samples, ((mixture, estimate(net, mixture, piece)) for mixture in mixtures))


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


def join_pieces(
    starts: list[int], samples: int, pieces: Iterable[tuple[np.ndarray, np.ndarray]]
) -> Iterator[np.ndarray]:
    """Join the estimates of the pieces of a recording, holding two pieces at once.

    Args:
        starts: first sample of each piece, from `piece_starts`.
        samples: length of the recording, T.
        pieces: of each piece its mixture [n] and its estimates, float32 [C, n], which are changed.

    Yields the estimates [C, T], float32, in stretches, a piece's each, at levels that add up to the recording as
    closely as one gain a speaker and piece allows.
    """
    tail = None  # what is joined already of the stretch that the next piece begins with: [C, overlap]
    for start, following, (mixture, estimates) in zip(starts, [*starts[1:], samples], pieces, strict=True):
        estimates *= mixture_gains(estimates, mixture)[:, np.newaxis]
        if tail is not None:
            estimates = fade_into(tail, estimates)
        yield estimates[:, : following - start]
        tail = estimates[:, following - start :]


def fade_into(tail: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    """Put the speakers of `estimates` [C, T] into the order of `tail` [C, overlap], and fade from this into them.

    The order is that of the highest correlations between what the two say of the overlap. They are not normalised, so
    that the louder speaker, whose estimates are more certain, decides where another is silent.
    """
    overlap = tail.shape[1]
    order = best_permutation(tail.astype(np.float64) @ estimates[:, :overlap].T)
    estimates = estimates[order]
    fade = np.sin(np.pi / 2 * (np.arange(overlap) + 0.5) / overlap).astype(np.float32) ** 2
    estimates[:, :overlap] = (1 - fade) * tail + fade * estimates[:, :overlap]
    return estimates
