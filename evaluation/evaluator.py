"""Separates a whole test set, and measures it in other processes meanwhile."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial

from device import Network

import numpy as np
from tqdm import tqdm

from common.estimates import best_permutation, is_silent
from common.parallel import map_ahead, map_in_processes
from corpus.index import Index
from evaluation.metrics import measure, si_snr, without_values
from evaluation.scores import Scores, Values
from network.in_numpy import NumpyNetwork

Signals = tuple[np.ndarray, np.ndarray, np.ndarray]  # mixture [T], sources [C, T], estimates [C, T], float32


def evaluate(
    net: Network,
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
        batch_size: rows of mixtures that a graph separates at once; it changes the speed only.
        num_workers: threads that read files.
        metrics: names, si_snr among them.

    Returns the scores of each mixture, in the order of the index. Raises UserError if a file cannot be read or the
    network gives NaN.
    """
    scores, order = [None] * len(index), []
    options = {"sample_rate": index.sample_rate, "metrics": metrics}

    def signals() -> Iterator[Signals]:
        for number, each in separated(net, index, batch_size, num_workers):
            order.append(number)
            yield each

    measuring = map_in_processes(
        partial(measure, **options), signals(), where_it_dies=partial(measure_apart, **options)
    )
    with closing(measuring) as measured:
        progress = tqdm(measured, "evaluating", total=len(index), unit="mixture", disable=None)
        for place, each in enumerate(progress):
            scores[order[place]] = replace(each, name=index.names[order[place]])
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
    net: Network, index: Index, numbers: Sequence[int], batch_size: int = 1, num_workers: int = 1
) -> list[Signals]:
    """Separate a few mixtures of an index as `evaluate` does, in batches of its shape, which is not compiled anew.

    Args:
        numbers: of the mixtures, from 0; all else is as for `evaluate`.

    Returns (mixture [T], sources [C, T], estimates [C, T] in the order of the sources) of each, float32. Where a source
    is silent, the estimates are in the network's own order.
    """
    found = {}
    for number, (mixture, sources, estimates) in separated(net, index, batch_size, num_workers, numbers):
        if number in numbers:
            if not is_silent(sources).any():
                estimates = estimates[best_permutation(si_snr(sources, estimates))]
            found[number] = mixture, sources, estimates
    return [found[number] for number in numbers]


def separated(
    net: Network, index: Index, batch_size: int = 1, num_workers: int = 1, wanted: Sequence[int] | None = None
) -> Iterator[tuple[int, Signals]]:
    """Separate the mixtures of an index: a NumpyNetwork one by one, a graph packed into rows of one length.

    Args:
        wanted: numbers of mixtures, beside which a graph may separate others; None: all. All else is as for `evaluate`.

    Yields the number of each mixture and its signals.
    """
    if isinstance(net, NumpyNetwork):
        numbers = range(len(index)) if wanted is None else wanted
        read = map_ahead(lambda number: index.read(number, 0, int(index.lengths[number])), numbers, num_workers)
        for number, audio in zip(numbers, read, strict=True):  # [1 + C, T]
            yield number, (audio[0], audio[1:], net(audio[0]))
    elif wanted is None or wanted:
        yield from _separated_in_rows(net, index, batch_size, num_workers, wanted)


def _separated_in_rows(net, index, batch_size, num_workers, wanted):
    """What `separated` gives of a compiled graph."""
    from evaluation.packing import packed_batches  # brings MindSpore

    batches = packed_batches(index, batch_size, net.options, num_workers, wanted)
    numbers = iter(batches.order)
    for batch in batches:
        estimates = net(*batch[:3]).asnumpy()  # [M, C, T]
        mixture, lengths, starts, sources = (tensor.asnumpy() for tensor in batch)  # lengths, starts: [M, U]
        for m, u in np.argwhere(lengths > 0):
            stretch = slice(starts[m, u], starts[m, u] + lengths[m, u])
            yield next(numbers), (mixture[m, stretch], sources[m, :, stretch], estimates[m, :, stretch])
