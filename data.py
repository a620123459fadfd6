"""Batches of mixtures and their sources, as a mindspore.dataset, from a JSON index or a MindRecord file.

A batch has the columns `mixture` [M, T] and `sources` [M, C, T], float32, and `lengths` [M], int32, the samples of
each row that are not padding. The audio is read when its batch is asked for. Which stretch of which utterance goes
into which batch is settled before, from the seed and the epoch, so it does not depend on the number of workers.

    index = load_index("index/tr", sample_rate=8000)
    for mixture, lengths, sources in training_batches(index, 2, 4.0, shuffle=1, seed=0, epoch=0, num_workers=2):
        ...
"""

import math
import os
from bisect import bisect_left

import mindspore.dataset
import numpy as np

from common.errors import UserError
from corpus.bad_files import BadFiles
from corpus.dynamic_mixing import DynamicMixtures
from corpus.mindrecord import RecordIndex, shard_path
from corpus.mixture_index import open_folder

MOST_PADDING = 0.08  # of the samples computed; the more padding, the fewer lengths to compile


def load_index(path, sample_rate):
    """Open a folder of mix.json, s1.json, s2.json ... or mixtures.json, or a MindRecord file, of preprocess.py.

    Returns an index: its length is the number of utterances; `names`, `lengths` (int64 [utterances], samples),
    `sources`, `sample_rate`, `path`; `read(utterance, start, length)` gives float32 [1 + C, length], mixture first.
    Raises UserError, naming the file, if there is none, it is malformed, or it was made at another rate.
    """
    if sample_rate < 1:
        raise UserError(f"--sample_rate {sample_rate}: must be at least 1")
    if os.path.isdir(path):
        return open_folder(path, sample_rate)
    if os.path.isfile(path) or os.path.isfile(shard_path(path, 0)):
        return RecordIndex(path, sample_rate)
    raise UserError(f"{path}: no such folder or MindRecord file; run preprocess.py to make it")


class Batches:
    """Batches that can be iterated again and again, each time as (mixture, lengths, sources), Tensors.

    `dataset` is the mindspore dataset itself, `order` the utterance number of every row, in the order they come,
    `rows` the M of all batches but one, which may be smaller, and len() the number of batches. Iterating raises
    UserError where a file cannot be read, which the dataset alone would bury in a RuntimeError.
    """

    def __init__(self, source, columns, order, rows, num_workers, bad_files=None, examples=None):
        """`source`: gives batch i as item i, and notes in `error` the UserError that it raises.

        `bad_files`: BadFiles, which the source notes there too, in place of raising it; `examples`: of the whole
        epoch, where `order` is only the rest of it.
        """
        if num_workers < 1:
            raise UserError(f"--num_workers {num_workers}: must be at least 1")
        self._source, self.order, self.rows = source, order, rows
        self._bad_files, self._examples = bad_files or BadFiles(), examples or len(order)
        self.dataset = mindspore.dataset.GeneratorDataset(
            source,
            columns,
            num_parallel_workers=min(num_workers, os.cpu_count()),  # MindSpore refuses more than there are cores
            python_multiprocessing=False,  # libsndfile and scipy release the interpreter's lock: threads do
            shuffle=False,
        )

    def __len__(self):
        return len(self._source)

    def __iter__(self):
        self._source.error = None
        self._bad_files.start(self._examples)
        try:
            for batch in self.dataset.create_tuple_iterator(num_epochs=1):
                self._bad_files.check()
                yield batch
        except RuntimeError:
            if self._source.error is None:
                raise
            raise self._source.error from None
        finally:
            self._bad_files.write_list()


class _BatchSource:
    """Item i is batch i, read when it is asked for. A row whose file is bad, but skipped, has length 0."""

    def __init__(self, index, batches, samples, bad_files):
        """`batches`: int arrays of rows (utterance, start, length); `samples`: the T of each batch."""
        self.index = index
        self.batches = batches
        self.samples = samples
        self.bad_files = bad_files
        self.error = None  # of the user, the last that was met

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, number):
        rows = self.batches[number]
        lengths = np.zeros(len(rows), np.int32)  # [M]
        audio = np.zeros((len(rows), 1 + self.index.sources, self.samples[number]), np.float32)  # [M, 1 + C, T]
        for m, row in enumerate(rows.tolist()):
            if row[2] == 0:  # of a rank that has no part in this batch
                continue
            try:
                stretch = self.index.read(*row)
                lengths[m] = stretch.shape[1]
                audio[m, :, : lengths[m]] = stretch
            except UserError as error:
                self.error = error
                self.bad_files.skip(error)
        return audio[:, 0], lengths, audio[:, 1:]


def training_batches(
    index, batch_size, segment, shuffle, seed, epoch, num_workers, share=(0, 1), first=0, bad_files=None
):
    """Batches of one epoch, nothing left out; the last may be smaller.

    segment > 0 (seconds): every utterance gives ceil(length / segment) examples of that length, which start anywhere
    if `shuffle`, all in random order, and else at multiples of the segment, in order. What is shorter than the
    segment is zero-padded. segment -1: whole utterances, as `utterance_batches` gives them, but the batches in random
    order if `shuffle`. Of corpus.dynamic_mixing.DynamicMixtures: crops that it draws, as many as its index gives.

    share: (rank, ranks), of several devices that share each batch of ranks * `batch_size` examples; this one's rows are
    given, as many as the others' or one fewer. A row of length 0 stands in for none. first: the batch to begin with.
    bad_files: BadFiles, of a run that does not stop at the first.

    Returns `Batches`, the same for the same seed and epoch. Raises UserError for values that make no sense.
    """
    batches, samples = epoch_rows(index, batch_size * share[1], segment, shuffle, seed, epoch)
    return _batches(index, batches, samples, num_workers, bad_files, share, first)


def epoch_rows(index, batch_size, segment, shuffle, seed, epoch):
    """What the batches of an epoch hold, before anything is read; arguments as for `training_batches`, of all ranks.

    Returns two lists, an item a batch: its rows (utterance, start, length), an int array [M, 3], and its T, in samples.
    """
    require_batch_size(batch_size)
    if seed < 0:
        raise UserError(f"--seed {seed}: must be at least 0")
    random = np.random.default_rng([seed, epoch])
    if segment != -1:
        samples = segment_samples(segment, index.sample_rate)
        if isinstance(index, DynamicMixtures):
            examples = index.examples(epoch, samples)
        else:
            examples = _random_crops(index, samples, random) if shuffle else _tiles(index, samples)
        batches = _split(examples, batch_size)
        return batches, [samples] * len(batches)
    utterances = random.permutation(len(index)) if shuffle else np.arange(len(index))
    batches = _even_batches(index, utterances, batch_size)
    if shuffle:
        random.shuffle(batches)
    return batches, _few_lengths(batches, index.sample_rate)


def utterance_batches(index, batch_size, num_workers, cv_maxlen=None, share=(0, 1), bad_files=None):
    """Whole utterances of at most `cv_maxlen` seconds (None: all), batched with others of about their length.

    The longest come first. There are as few batches as `batch_size` allows, of as many rows each, but the last may
    have fewer. Each is padded to one of a few lengths. `share` and `bad_files` are as for
    `training_batches`.

    Returns `Batches`, whose `order` tells which utterance each row is. Raises UserError if none is short enough.
    """
    require_batch_size(batch_size)
    kept = np.flatnonzero(_within(index, cv_maxlen))
    if not len(kept):
        raise UserError(f"--cv_maxlen {cv_maxlen:g}: all {len(index)} utterances of {index.path} are longer; raise it")
    batches = _even_batches(index, kept, batch_size * share[1])
    return _batches(index, batches, _few_lengths(batches, index.sample_rate), num_workers, bad_files, share)


def describe(index, segment=-1, cv_maxlen=None):
    """Say in one line how many mixtures and hours there are, what examples they give and what `cv_maxlen` leaves out.

    `segment` and `cv_maxlen` are in seconds, as for `training_batches` and `utterance_batches`.
    """
    if isinstance(index, DynamicMixtures):
        return index.describe(segment_samples(segment, index.sample_rate))
    within = _within(index, cv_maxlen)
    text = f"{_count(within.sum(), 'mixture')} of {_count(index.sources, 'speaker')}, {_hours(index, within):.2f} hours"
    if segment != -1:
        samples = segment_samples(segment, index.sample_rate)
        examples = np.sum(-(-index.lengths // samples))
        text += f", {examples} examples of {segment:g} s, {np.sum(index.lengths < samples)} shorter"
    if not within.all():
        text += f"; {(~within).sum()} longer than {cv_maxlen:g} s left out, {_hours(index, ~within):.2f} hours"
    return text


def segment_samples(segment, sample_rate):
    """Samples in `segment` seconds. Raises UserError unless there is at least one."""
    if not (math.isfinite(segment) and segment * sample_rate >= 1):
        raise UserError(f"--segment {segment:g}: must be seconds above 0, or -1 for whole utterances")
    return round(segment * sample_rate)


def _batches(index, batches, samples, num_workers, bad_files, share=(0, 1), first=0):
    batches = [_rows_of(batch, *share) for batch in batches]
    rows = max(len(batch) for batch in batches)
    examples = sum(len(batch) for batch in batches)
    batches, samples = batches[first:], samples[first:]
    order = [int(utterance) for batch in batches for utterance in batch[:, 0]]
    bad_files = bad_files or BadFiles()
    source = _BatchSource(index, batches, samples, bad_files)
    return Batches(source, ["mixture", "lengths", "sources"], order, rows, num_workers, bad_files, examples)


def _rows_of(batch, rank, ranks):
    """A rank's rows (utterance, start, length) of a batch; if none are left for it, one of length 0."""
    rows = np.array_split(batch, ranks)[rank]
    return rows if len(rows) else batch[:1] * (1, 0, 0)


def _random_crops(index, samples, random):
    """As many crops of each utterance as tiles would cover it: rows (utterance, start, length), in random order."""
    utterances = np.repeat(np.arange(len(index)), -(-index.lengths // samples))
    lengths = index.lengths[utterances]
    starts = random.integers(0, np.maximum(lengths - samples, 0), endpoint=True)
    return random.permutation(np.stack([utterances, starts, np.minimum(lengths, samples)], axis=1))


def _tiles(index, samples):
    """Every utterance cut at multiples of `samples`: rows (utterance, start, length), in order."""
    rows = [
        (utterance, start, min(samples, length - start))
        for utterance, length in enumerate(index.lengths.tolist())
        for start in range(0, length, samples)
    ]
    return np.array(rows)


def _even_batches(index, utterances, batch_size):
    """Batches of rows (utterance, 0, length), from the longest to the shortest, equal ones as given.

    15 utterances at 10 a batch make 8 and 7, not 10 and 5, which training would fill up with 5 rows of silence.
    """
    utterances = utterances[np.argsort(-index.lengths[utterances], kind="stable")]
    rows = np.stack([utterances, np.zeros_like(utterances), index.lengths[utterances]], axis=1)
    return _split(rows, math.ceil(len(rows) / math.ceil(len(rows) / batch_size)))


def _few_lengths(batches, sample_rate):
    """T of every batch, whole tenths of a second: as few different ones as keep the padding within MOST_PADDING.

    Few, because graph mode compiles anew for each. At first every batch has the T that it needs. Then, as long as
    there is padding to spare, the T that costs least to round up to the next longer one is given up.
    """
    needed = [-(-10 * int(batch[:, 2].max()) // sample_rate) for batch in batches]  # tenths of a second
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
    return [-(-lengths[bisect_left(lengths, length)] * sample_rate // 10) for length in needed]


def _split(examples, batch_size):
    return [examples[first : first + batch_size] for first in range(0, len(examples), batch_size)]


def require_batch_size(batch_size):
    """Raise UserError unless there is at least one row in a batch."""
    if batch_size < 1:
        raise UserError(f"--batch_size {batch_size}: must be at least 1")


def _within(index, cv_maxlen):
    """Which utterances are at most `cv_maxlen` seconds long: bool [utterances]."""
    return index.lengths <= (math.inf if cv_maxlen is None else cv_maxlen * index.sample_rate)


def _hours(index, which):
    return index.lengths[which].sum() / index.sample_rate / 3600


def _count(number, noun):
    return f"{number} {noun}" + ("s" if number != 1 else "")
