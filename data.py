"""Batches of mixtures and their sources, as a mindspore.dataset, from an index.

A batch has the columns `mixture` [M, T] and `sources` [M, C, T], float32, and `lengths` [M], int32, the samples of
each row that are not padding. The audio is read when its batch is asked for. Which stretch of which mixture goes into
which batch is settled before, from the seed and the epoch, so it does not depend on the number of workers.

    index = load_index("index/tr", sample_rate=8000)  # of corpus.loading
    for mixture, lengths, sources in training_batches(index, 2, 4.0, shuffle=1, seed=0, epoch=0, num_workers=2):
        ...
"""

import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any

import mindspore as ms
import mindspore.dataset
import numpy as np

from common.errors import UserError
from common.numbers import ceil_div
from corpus.bad_files import BadFiles, Part
from corpus.index import Index, segment_samples

MOST_PADDING = 0.08  # of the samples computed; the more padding, the fewer lengths to compile


class Batches:
    """Batches that can be iterated again and again, each time as (mixture, lengths, sources), Tensors.

    `dataset` is the mindspore dataset itself, `order` the number in the index of every row's mixture, in the order they
    come, `rows` the M of all batches but one, which may be smaller, and len() the number of batches. Iterating raises
    UserError where a file cannot be read, which the dataset alone would bury in a RuntimeError.
    """

    def __init__(
        self,
        source: Any,
        columns: list[str],
        order: list[int],
        rows: int,
        num_workers: int,
        bad_files: BadFiles | None = None,
        examples: int | None = None,
    ):
        """`source`: gives batch i as item i, and notes in `error` the UserError that it raises.

        `bad_files`: BadFiles; the source finds the Part of this epoch in its `part`, to leave rows out of; `examples`:
        of the whole epoch, where `order` is only the rest of it.
        """
        if num_workers < 1:
            raise UserError(f"the number of workers {num_workers}: must be at least 1")
        self._source, self.order, self.rows = source, order, rows
        self._bad_files, self._examples = bad_files or BadFiles(), examples or len(order)
        self.dataset = mindspore.dataset.GeneratorDataset(
            source,
            columns,
            num_parallel_workers=min(num_workers, os.cpu_count()),  # MindSpore refuses more than there are cores
            python_multiprocessing=False,  # libsndfile and scipy release the interpreter's lock: threads do
            shuffle=False,
        )

    def __len__(self) -> int:
        return len(self._source)

    def __iter__(self) -> Iterator[tuple[ms.Tensor, ...]]:
        self._source.error = None
        with self._bad_files.part(self._examples) as part:
            self._source.part = part
            try:
                for batch in self.dataset.create_tuple_iterator(num_epochs=1):
                    part.require_few()
                    yield batch
            except RuntimeError:
                if self._source.error is None:
                    raise
                raise self._source.error from None


class _BatchSource:
    """Item i is batch i, read when it is asked for. A row whose file is bad, but left out, has length 0."""

    def __init__(self, index: Index, batches: Sequence[np.ndarray], samples: Sequence[int]):
        """`batches`: int arrays of rows (number, start, length); `samples`: the T of each batch."""
        self.index = index
        self.batches = batches
        self.samples = samples
        self.error: UserError | None = None  # the last that was met
        self.part: Part | None = None  # that bad rows are left out of

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = self.batches[number]
        lengths = np.zeros(len(rows), np.int32)  # [M]
        audio = np.zeros((len(rows), 1 + self.index.sources, self.samples[number]), np.float32)  # [M, 1 + C, T]
        for m, row in enumerate(rows.tolist()):
            if row[2] == 0:  # there is no example for this rank
                continue
            try:
                stretch = self.index.read(*row)
                lengths[m] = stretch.shape[1]
                audio[m, :, : lengths[m]] = stretch
            except UserError as error:
                self.error = error
                self.part.leave_out(error)
        return audio[:, 0], lengths, audio[:, 1:]


def training_batches(
    index: Index,
    batch_size: int,
    segment: float,
    shuffle: bool,
    seed: int,
    epoch: int,
    num_workers: int,
    share: tuple[int, int] = (0, 1),
    first: int = 0,
    bad_files: BadFiles | None = None,
) -> Batches:
    """Batches of one epoch, nothing left out; the last may be smaller.

    Args:
        index: of `corpus.loading.load_index`, or DynamicMixtures.
        batch_size: examples in a batch; of several devices, for each of them.
        segment: seconds of an example; `Index.examples` says which there are, and what is shorter is zero-padded. -1:
            whole mixtures, as `whole_batches` gives them, but the batches in random order if `shuffle`.
        shuffle: whether examples are drawn at random.
        seed, epoch: decide what is drawn, together.
        num_workers: threads that read files.
        share: (rank, ranks), of several devices that share each batch of ranks * `batch_size` examples; this one's rows
            are given, as many as the others' or one fewer. A row of length 0 stands in for none.
        first: the batch to begin with.
        bad_files: of a run that does not stop at the first.

    Raises UserError for values that make no sense.
    """
    batches, samples = epoch_rows(index, batch_size * share[1], segment, shuffle, seed, epoch)
    return _batches(index, batches, samples, num_workers, bad_files, share, first)


def epoch_rows(
    index: Index, batch_size: int, segment: float, shuffle: bool, seed: int, epoch: int
) -> tuple[list[np.ndarray], list[int]]:
    """What the batches of an epoch hold, before anything is read.

    The arguments are those of `training_batches`, but `batch_size` is that of all devices together.

    Returns two lists, an item a batch: its rows (number, start, length), an int array [M, 3], and its T, in samples.
    """
    require_batch_size(batch_size)
    if seed < 0:
        raise UserError(f"the seed {seed}: must be at least 0")
    random = np.random.default_rng([seed, epoch])
    if segment != -1:
        samples = segment_samples(segment, index.sample_rate)
        batches = _split(index.examples(epoch, samples, random if shuffle else None), batch_size)
        return batches, [samples] * len(batches)
    numbers = random.permutation(len(index)) if shuffle else np.arange(len(index))
    batches = _even_batches(index, numbers, batch_size)
    if shuffle:
        random.shuffle(batches)
    return batches, _few_lengths(batches, index.sample_rate)


def whole_batches(
    index: Index,
    batch_size: int,
    num_workers: int,
    cv_maxlen: float | None = None,
    share: tuple[int, int] = (0, 1),
    bad_files: BadFiles | None = None,
) -> Batches:
    """Whole mixtures of at most `cv_maxlen` seconds (None: all), batched with others of about their length.

    The longest come first. There are as few batches as `batch_size` allows, of as many rows each, but the last may
    have fewer. Each is padded to one of a few lengths. The other arguments are those of `training_batches`.

    Raises UserError if no mixture is short enough.
    """
    require_batch_size(batch_size)
    kept = np.flatnonzero(index.within(cv_maxlen))
    if not len(kept):
        raise UserError(f"--cv_maxlen {cv_maxlen:g}: all {len(index)} mixtures of {index.path} are longer; raise it")
    batches = _even_batches(index, kept, batch_size * share[1])
    return _batches(index, batches, _few_lengths(batches, index.sample_rate), num_workers, bad_files, share)


def _batches(index, batches, samples, num_workers, bad_files, share, first=0):
    batches = [_rows_of(batch, *share) for batch in batches]
    rows = max(len(batch) for batch in batches)
    examples = sum(len(batch) for batch in batches)
    batches, samples = batches[first:], samples[first:]
    order = [int(number) for batch in batches for number in batch[:, 0]]
    source = _BatchSource(index, batches, samples)
    return Batches(source, ["mixture", "lengths", "sources"], order, rows, num_workers, bad_files, examples)


def _rows_of(batch: np.ndarray, rank: int, ranks: int) -> np.ndarray:
    """A rank's rows (number, start, length) of a batch; if none are left for it, one of length 0."""
    rows = np.array_split(batch, ranks)[rank]
    return rows if len(rows) else batch[:1] * (1, 0, 0)


def _even_batches(index: Index, numbers: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Batches of rows (number, 0, length), from the longest to the shortest, equal ones as given.

    15 mixtures at 10 a batch make 8 and 7, not 10 and 5, which training would fill up with 5 rows of silence.
    """
    numbers = numbers[np.argsort(-index.lengths[numbers], kind="stable")]
    rows = np.stack([numbers, np.zeros_like(numbers), index.lengths[numbers]], axis=1)
    return _split(rows, ceil_div(len(rows), ceil_div(len(rows), batch_size)))


def _few_lengths(batches: Sequence[np.ndarray], sample_rate: int) -> list[int]:
    """T of every batch, whole tenths of a second: as few different ones as keep the padding within MOST_PADDING.

    Few, because graph mode compiles anew for each. At first every batch has the T that it needs. Then, as long as
    there is padding to spare, the T that costs least to round up to the next longer one is given up.
    """
    needed = [ceil_div(10 * int(batch[:, 2].max()), sample_rate) for batch in batches]  # tenths of a second
    audio = sum(int(batch[:, 2].sum()) for batch in batches) * 10 / sample_rate
    spare = audio / (1 - MOST_PADDING) / max(len(batch) for batch in batches) - sum(needed)
    lengths, counts = (array.tolist() for array in np.unique(needed, return_counts=True))
    while len(lengths) > 1:
        costs = np.diff(lengths) * counts[:-1]
        cheapest = int(np.argmin(costs))
        spare -= costs[cheapest]
        if spare < 0:
            break
        counts[cheapest + 1] += counts[cheapest]
        del lengths[cheapest], counts[cheapest]
    return [ceil_div(lengths[bisect_left(lengths, length)] * sample_rate, 10) for length in needed]


def _split(examples: np.ndarray, batch_size: int) -> list[np.ndarray]:
    return [examples[first : first + batch_size] for first in range(0, len(examples), batch_size)]


def require_batch_size(batch_size: int) -> None:
    """Raise UserError unless there is at least one row in a batch."""
    if batch_size < 1:
        raise UserError(f"the batch size {batch_size}: must be at least 1")
