"""Rows that hold several mixtures one after another, so that a test set of any lengths needs one shape.

Graph mode compiles anew for each shape, which for a large network takes as long as separating minutes of audio. The
network keeps the mixtures of a row apart by itself (`starts` of model.ConvTasNet), given silence between them.
"""

from collections.abc import Sequence

import numpy as np

from common.errors import UserError
from common.numbers import ceil_div
from corpus.index import Index
from data import Batches, require_batch_size
from network.options import NetworkOptions

ROW_SECONDS = 16.0  # of a row at least, if there is so much: long rows waste less at their ends, and take more memory

Row = list[tuple[int, int]]  # the mixtures of a row: number in the index, first sample in the row


def packed_batches(
    index: Index,
    batch_size: int,
    options: NetworkOptions,
    num_workers: int,
    wanted: Sequence[int] | None = None,
) -> Batches:
    """Whole mixtures of an index, packed into rows of one length.

    Args:
        index: the mixtures and their sources.
        batch_size: rows M in a batch.
        options: those of the network that the batches are for.
        num_workers: threads that read files.
        wanted: numbers of mixtures; the batches that hold none of them are left out. None: all are wanted.

    Returns `Batches` of (mixture [M, T], lengths [M, U], starts [M, U], sources [M, C, T]), all of the same shapes;
    what a batch lacks is silence, with lengths 0. Its `order` has the number of the mixture of each length above 0.
    """
    require_batch_size(batch_size)
    rows, samples = pack(index.lengths.tolist(), round(ROW_SECONDS * index.sample_rate), options.hop, options.gap)
    most = max(map(len, rows))  # mixtures in a row, U
    batches = [rows[first : first + batch_size] for first in range(0, len(rows), batch_size)]
    if wanted is not None:
        batches = [batch for batch in batches if not set(wanted).isdisjoint(_numbers(batch))]
    source = _PackedSource(index, batches, samples, (batch_size, most))
    order = [number for batch in batches for number in _numbers(batch)]
    return Batches(source, ["mixture", "lengths", "starts", "sources"], order, batch_size, num_workers)


def pack(lengths: Sequence[int], samples: int, hop: int, gap: int) -> tuple[list[Row], int]:
    """Place mixtures in rows of one length, from `samples` to half as much again: the one that wastes least.

    Args:
        lengths: samples of each mixture.
        samples: of a row; fewer if all fit into one, more if a mixture is longer.
        hop: what starts are multiples of.
        gap: samples of silence between two mixtures.

    Returns rows and the samples of each, a multiple of the hop.
    """
    total = sum(whole_hops(length + gap, hop) for length in lengths)
    samples = max(whole_hops(max(lengths), hop), min(whole_hops(samples, hop), total))
    choices = [whole_hops(samples * eighths // 8, hop) for eighths in range(8, 13)]
    packed = [(first_fit(lengths, choice, hop, gap), choice) for choice in choices]
    return min(packed, key=lambda rows_and_samples: len(rows_and_samples[0]) * rows_and_samples[1])


def first_fit(lengths: Sequence[int], samples: int, hop: int, gap: int) -> list[Row]:
    """Place each mixture, longest first, in the first row of so many samples that has room for it; see `pack`."""
    rows, ends = [], []
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        fitting = (row for row, end in enumerate(ends) if end + lengths[number] <= samples)
        row = next(fitting, len(rows))
        if row == len(rows):
            rows.append([])
            ends.append(0)
        rows[row].append((number, ends[row]))
        ends[row] += whole_hops(lengths[number] + gap, hop)
    return rows


def whole_hops(samples: int, hop: int) -> int:
    """Samples, rounded up to a multiple of the hop."""
    return ceil_div(samples, hop) * hop


def _numbers(batch: list[Row]) -> list[int]:
    """The numbers of the mixtures in the rows of a batch, in their order."""
    return [number for row in batch for number, _ in row]


class _PackedSource:
    """Item i is batch i, read when it is asked for."""

    def __init__(self, index: Index, batches: list[list[Row]], samples: int, shape: tuple[int, int]):
        """`shape`: (M, U)."""
        self.index, self.batches, self.samples, self.shape = index, batches, samples, shape
        self.error: UserError | None = None  # the last that was met

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, batch: int) -> tuple[np.ndarray, ...]:
        audio = np.zeros((self.shape[0], 1 + self.index.sources, self.samples), np.float32)  # [M, 1 + C, T]
        lengths, starts = np.zeros((2, *self.shape), np.int32)  # [M, U]
        try:
            for m, row in enumerate(self.batches[batch]):
                for u, (number, start) in enumerate(row):
                    length = int(self.index.lengths[number])
                    audio[m, :, start : start + length] = self.index.read(number, 0, length)
                    lengths[m, u], starts[m, u] = length, start
        except UserError as error:
            self.error = error
            raise
        return audio[:, 0], lengths, starts, audio[:, 1:]
