"""Rows that hold several utterances one after another, so that a test set of any lengths needs one shape.

Graph mode compiles anew for each shape, which for a large network takes as long as separating minutes of audio. The
network keeps the utterances of a row apart by itself (`starts` of model.ConvTasNet), given silence between them.
"""

import numpy as np

from common.errors import UserError
from data import Batches, require_batch_size

ROW_SECONDS = 16.0  # of a row at least, if there is so much: long rows waste less at their ends, and take more memory


def packed_batches(index, batch_size, options, num_workers, wanted=None):
    """Whole utterances of an index, packed into rows of one length.

    Args:
        index: of `corpus.loading.load_index`.
        batch_size: rows M in a batch.
        options: network.options.NetworkOptions of the network they are for.
        num_workers: threads that read files.
        wanted: utterances; the batches that hold none of them are left out. None: all are wanted.

    Returns `Batches` of (mixture [M, T], lengths [M, U], starts [M, U], sources [M, C, T]), all of the same shapes;
    what a batch lacks is silence, with lengths 0. Its `order` tells which utterance each length above 0 is of.
    """
    require_batch_size(batch_size)
    rows, samples = pack(index.lengths.tolist(), round(ROW_SECONDS * index.sample_rate), options.hop, options.gap)
    most = max(map(len, rows))  # utterances in a row, U
    batches = [rows[first : first + batch_size] for first in range(0, len(rows), batch_size)]
    if wanted is not None:
        batches = [batch for batch in batches if not set(wanted).isdisjoint(_utterances(batch))]
    source = _PackedSource(index, batches, samples, (batch_size, most))
    order = [utterance for batch in batches for utterance in _utterances(batch)]
    return Batches(source, ["mixture", "lengths", "starts", "sources"], order, batch_size, num_workers)


def pack(lengths, samples, hop, gap):
    """Place utterances in rows of one length, from `samples` to half as much again, that least is wasted with.

    Args:
        lengths: samples of each utterance.
        samples: of a row; fewer if all fit into one, more if an utterance is longer.
        hop: what starts are multiples of.
        gap: samples of silence between two utterances.

    Returns rows, lists of (utterance, start), and the samples of each, a multiple of the hop.
    """
    total = sum(whole_hops(length + gap, hop) for length in lengths)
    samples = max(whole_hops(max(lengths), hop), min(whole_hops(samples, hop), total))
    choices = [whole_hops(samples * eighths // 8, hop) for eighths in range(8, 13)]
    packed = [(first_fit(lengths, choice, hop, gap), choice) for choice in choices]
    return min(packed, key=lambda rows_and_samples: len(rows_and_samples[0]) * rows_and_samples[1])


def first_fit(lengths, samples, hop, gap):
    """Each utterance, longest first, in the first row of so many samples that has room for it: rows as of `pack`."""
    rows, ends = [], []
    for utterance in sorted(range(len(lengths)), key=lambda utterance: -lengths[utterance]):
        fitting = (row for row, end in enumerate(ends) if end + lengths[utterance] <= samples)
        row = next(fitting, len(rows))
        if row == len(rows):
            rows.append([])
            ends.append(0)
        rows[row].append((utterance, ends[row]))
        ends[row] += whole_hops(lengths[utterance] + gap, hop)
    return rows


def whole_hops(samples, hop):
    """Samples, rounded up to a multiple of the hop."""
    return -(-samples // hop) * hop


def _utterances(batch):
    """The utterances in the rows of a batch, in their order."""
    return [utterance for row in batch for utterance, _ in row]


class _PackedSource:
    """Item i is batch i, read when it is asked for."""

    def __init__(self, index, batches, samples, shape):
        """`shape`: (M, U)."""
        self.index, self.batches, self.samples, self.shape = index, batches, samples, shape
        self.error = None  # of the user, the last that was met

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, number):
        audio = np.zeros((self.shape[0], 1 + self.index.sources, self.samples), np.float32)  # [M, 1 + C, T]
        lengths, starts = np.zeros((2, *self.shape), np.int32)  # [M, U]
        try:
            for m, row in enumerate(self.batches[number]):
                for u, (utterance, start) in enumerate(row):
                    length = int(self.index.lengths[utterance])
                    audio[m, :, start : start + length] = self.index.read(utterance, 0, length)
                    lengths[m, u], starts[m, u] = length, start
        except UserError as error:
            self.error = error
            raise
        return audio[:, 0], lengths, starts, audio[:, 1:]
