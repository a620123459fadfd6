"""Separates a whole test set, and measures it in other processes meanwhile."""

from contextlib import closing
from functools import partial

import numpy as np
from tqdm import tqdm

from common.estimates import best_permutation
from common.parallel import map_in_processes
from evaluation.metrics import is_silent, measure, si_snr
from evaluation.packing import packed_batches


def evaluate(net, index, batch_size=1, num_workers=1, metrics=("si_snr",)):
    """Separate every utterance of an index and measure the result, in other processes.

    Args:
        net: model.ConvTasNet, or what takes mixtures [M, T], lengths and starts [M, U] as it does, and has `options`.
        index: of `corpus.loading.load_index`, with C speakers.
        batch_size: rows of utterances separated at once; it changes the speed only.
        num_workers: threads that read files.
        metrics: names, si_snr among them.

    Returns a dict an utterance, in the order of the index: `name`, `seconds` and what `metrics.measure` gives. Raises
    UserError if a file cannot be read or the network gives NaN.
    """
    batches = packed_batches(index, batch_size, net.options, num_workers)
    rows = [
        {"name": name, "seconds": length / index.sample_rate}
        for name, length in zip(index.names, index.lengths.tolist(), strict=True)
    ]
    measure_utterance = partial(measure, sample_rate=index.sample_rate, metrics=metrics)
    with closing(map_in_processes(measure_utterance, separated(net, batches))) as measured:
        progress = tqdm(measured, "evaluating", total=len(index), unit="mixture", disable=None)
        for utterance, measures in zip(batches.order, progress, strict=True):
            rows[utterance] |= measures
    return rows


def separate_utterances(net, index, utterances, batch_size=1, num_workers=1):
    """Separate a few utterances of an index as `evaluate` does, in batches of its shape, which is not compiled anew.

    Args:
        utterances: numbers, from 0; else as for `evaluate`.

    Returns (mixture [T], sources [C, T], estimates [C, T] in the order of the sources) of each, float32. Where a source
    is silent, the estimates are in the network's own order.
    """
    if not utterances:
        return []
    batches = packed_batches(index, batch_size, net.options, num_workers, wanted=utterances)
    found = {}
    for utterance, (mixture, sources, estimates) in zip(batches.order, separated(net, batches), strict=True):
        if utterance in utterances:
            if not is_silent(sources).any():
                estimates = estimates[best_permutation(si_snr(sources, estimates))]
            found[utterance] = mixture, sources, estimates
    return [found[utterance] for utterance in utterances]


def separated(net, batches):
    """Separate `batches` of packing.py. Yields mixture [T], sources [C, T], estimates [C, T] of each utterance."""
    for mixture, lengths, starts, sources in batches:
        estimates = net(mixture, lengths, starts)  # [M, C, T]
        mixture, sources, estimates = (tensor.asnumpy() for tensor in (mixture, sources, estimates))
        lengths, starts = lengths.asnumpy(), starts.asnumpy()  # [M, U]
        for m, u in np.argwhere(lengths > 0):
            stretch = slice(starts[m, u], starts[m, u] + lengths[m, u])
            yield mixture[m, stretch], sources[m, :, stretch], estimates[m, :, stretch]
