"""Separates a whole test set, and measures it in other processes meanwhile."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial

import numpy as np
from tqdm import tqdm

from common.estimates import best_permutation
from common.parallel import map_in_processes
from corpus.index import Index
from data import Batches
from evaluation.metrics import is_silent, measure, si_snr
from evaluation.packing import packed_batches
from evaluation.scores import Scores
from model import ConvTasNet


def evaluate(
    net: ConvTasNet,
    index: Index,
    batch_size: int = 1,
    num_workers: int = 1,
    metrics: Sequence[str] = ("si_snr",),
) -> list[Scores]:
    """Separate every mixture of an index and measure the result, in other processes.

    Args:
        net: model.ConvTasNet, or what takes mixtures [M, T], lengths and starts [M, U] as it does, and has `options`.
        index: the test set, of C sources in a mixture.
        batch_size: rows of mixtures separated at once; it changes the speed only.
        num_workers: threads that read files.
        metrics: names, si_snr among them.

    Returns the scores of each mixture, in the order of the index. Raises UserError if a file cannot be read or the
    network gives NaN.
    """
    batches = packed_batches(index, batch_size, net.options, num_workers)
    scores = [None] * len(index)
    measure_mixture = partial(measure, sample_rate=index.sample_rate, metrics=metrics)
    with closing(map_in_processes(measure_mixture, separated(net, batches))) as measured:
        progress = tqdm(measured, "evaluating", total=len(index), unit="mixture", disable=None)
        for number, each in zip(batches.order, progress, strict=True):
            scores[number] = replace(each, name=index.names[number])
    return scores


def separate_mixtures(
    net: ConvTasNet, index: Index, numbers: Sequence[int], batch_size: int = 1, num_workers: int = 1
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Separate a few mixtures of an index as `evaluate` does, in batches of its shape, which is not compiled anew.

    Args:
        numbers: of the mixtures, from 0; all else is as for `evaluate`.

    Returns (mixture [T], sources [C, T], estimates [C, T] in the order of the sources) of each, float32. Where a source
    is silent, the estimates are in the network's own order.
    """
    if not numbers:
        return []
    batches = packed_batches(index, batch_size, net.options, num_workers, wanted=numbers)
    found = {}
    for number, (mixture, sources, estimates) in zip(batches.order, separated(net, batches), strict=True):
        if number in numbers:
            if not is_silent(sources).any():
                estimates = estimates[best_permutation(si_snr(sources, estimates))]
            found[number] = mixture, sources, estimates
    return [found[number] for number in numbers]


def separated(net: ConvTasNet, batches: Batches) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Separate `batches` of packing.py. Yields mixture [T], sources [C, T] and estimates [C, T] of each mixture."""
    for mixture, lengths, starts, sources in batches:
        estimates = net(mixture, lengths, starts)  # [M, C, T]
        mixture, sources, estimates = (tensor.asnumpy() for tensor in (mixture, sources, estimates))
        lengths, starts = lengths.asnumpy(), starts.asnumpy()  # [M, U]
        for m, u in np.argwhere(lengths > 0):
            stretch = slice(starts[m, u], starts[m, u] + lengths[m, u])
            yield mixture[m, stretch], sources[m, :, stretch], estimates[m, :, stretch]
