"""Separates a whole test set, and measures it in other processes meanwhile."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial

import numpy as np
from tqdm import tqdm

from common.estimates import best_permutation, is_silent
from common.parallel import map_in_processes
from corpus.index import Index
from data import Batches
from evaluation.metrics import measure, si_snr, without_values
from evaluation.packing import packed_batches
from evaluation.scores import Scores, Values
from model import ConvTasNet
from network.in_numpy import NumpyNetwork


def evaluate(
    net: ConvTasNet | NumpyNetwork,
    index: Index,
    batch_size: int = 1,
    num_workers: int = 1,
    metrics: Sequence[str] = ("si_snr",),
) -> list[Scores]:
    """Separate every mixture of an index and measure the result, in other processes.

    Args:
        net: model.ConvTasNet, or what takes mixtures [M, T], lengths and starts [M, U] as it does, and has `options`;
            or NumpyNetwork, which takes mixtures one by one.
        index: the test set, of C sources in a mixture.
        batch_size: rows of mixtures separated at once; it changes the speed only.
        num_workers: threads that read files.
        metrics: names, si_snr among them.

    Returns the scores of each mixture, in the order of the index. Raises UserError if a file cannot be read or the
    network gives NaN.
    """
    batches = packed_batches(index, batch_size, net.options, num_workers)
    scores = [None] * len(index)
    options = {"sample_rate": index.sample_rate, "metrics": metrics}
    measuring = map_in_processes(
        partial(measure, **options), separated(net, batches), where_it_dies=partial(measure_apart, **options)
    )
    with closing(measuring) as measured:
        progress = tqdm(measured, "evaluating", total=len(index), unit="mixture", disable=None)
        for number, each in zip(batches.order, progress, strict=True):
            scores[number] = replace(each, name=index.names[number])
    return scores


def measure_apart(
    mixture: np.ndarray, sources: np.ndarray, estimates: np.ndarray, sample_rate: int, metrics: Sequence[str]
) -> Scores:
    """`measure`, for a mixture of which a metric ends its process: each metric by itself, in another process.

    Takes and returns what `measure` does; a metric that ends its process has no values.
    """

    def measure_one(metric: str) -> Scores | None:
        function = partial(measure, sample_rate=sample_rate, metrics=tuple(dict.fromkeys(["si_snr", metric])))
        (found,) = map_in_processes(function, [(mixture, sources, estimates)], where_it_dies=lambda *_: None)
        return found

    died = "its process ended without a word, as in a fault of its library or for want of memory"
    found = measure_one("si_snr")
    if found is None or found.silent:
        failures = {"si_snr": died} if found is None else found.failures
        return without_values(len(sources), metrics, len(mixture) / sample_rate, failures)
    values, failures = dict(found.sources), dict(found.failures)
    for metric in metrics:
        if metric != "si_snr":
            one = measure_one(metric)
            values[metric] = one.sources[metric] if one else Values(*[np.full(len(sources), np.nan)] * 3)
            failures |= one.failures if one else {metric: died}
    return replace(found, sources=values, failures=failures)


def separate_mixtures(
    net: ConvTasNet | NumpyNetwork, index: Index, numbers: Sequence[int], batch_size: int = 1, num_workers: int = 1
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


def separated(net: ConvTasNet | NumpyNetwork, batches: Batches) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Separate `batches` of packing.py. Yields mixture [T], sources [C, T] and estimates [C, T] of each mixture."""
    one_by_one = isinstance(net, NumpyNetwork)
    for batch in batches:
        estimates = None if one_by_one else net(*batch[:3]).asnumpy()  # [M, C, T]
        mixture, lengths, starts, sources = (tensor.asnumpy() for tensor in batch)  # lengths, starts: [M, U]
        for m, u in np.argwhere(lengths > 0):
            stretch = slice(starts[m, u], starts[m, u] + lengths[m, u])
            found = net(mixture[m, stretch]) if one_by_one else estimates[m, :, stretch]
            yield mixture[m, stretch], sources[m, :, stretch], found
