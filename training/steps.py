"""What each step of training is made of: its batches, and the names of what they hold."""

import argparse
from collections.abc import Iterator
from itertools import islice

import mindspore as ms
import numpy as np

from common.numbers import ceil_div
from corpus.bad_files import BadFiles
from corpus.index import Index
from data import epoch_rows, training_batches
from training.ranks import Ranks
from training.validation import fill_up


class Steps:
    """The steps of every epoch, each of --accumulate batches on every rank.

    Args:
        index: the mixtures of the training set, or DynamicMixtures of it.
        args: options of the groups "training_data", "data" and "training".
        ranks: the processes of the run, which share each batch.
        bad_files: where files that cannot be read are counted.

    Attribute `an_epoch`: how many there are in an epoch.
    """

    def __init__(self, index: Index, args: argparse.Namespace, ranks: Ranks, bad_files: BadFiles):
        self.index, self.args, self.ranks, self.bad_files = index, args, ranks, bad_files
        self.cut = {name: getattr(args, name) for name in ("segment", "shuffle", "seed")}
        self.an_epoch = ceil_div(len(self._rows(epoch=0)), args.accumulate)

    def _rows(self, epoch: int) -> list[np.ndarray]:
        """Rows [M, 3] of each batch of an epoch, numbered from 0, on all ranks together."""
        return epoch_rows(self.index, self.args.batch_size * self.ranks.count, epoch=epoch, **self.cut)[0]

    def of_epoch(self, epoch: int, done: int) -> Iterator[tuple[tuple[ms.Tensor, ...], ...]]:
        """The batches of each step of an epoch, numbered from 0, after those that are done; this rank's share.

        All have the same number of rows; those of length 0 fill them up.
        """
        if done == self.an_epoch:
            return
        args = self.args
        batches = training_batches(
            self.index,
            args.batch_size,
            **self.cut,
            epoch=epoch,
            num_workers=args.num_workers,
            share=self.ranks.share,
            first=done * args.accumulate,
            bad_files=self.bad_files,
        )
        filled = (fill_up(batch, batches.rows) for batch in batches)
        while group := tuple(islice(filled, args.accumulate)):
            yield group

    def names(self, epoch: int, step: int) -> list[str]:
        """The names of the mixtures of a step on all ranks, epoch and step numbered from 0."""
        first = step * self.args.accumulate
        rows = self._rows(epoch)[first : first + self.args.accumulate]
        return [self.index.name(int(number)) for batch in rows for number in batch[:, 0]]
