"""The loss of the validation set, which the ranks work out together."""

import argparse
from collections.abc import Sequence

import mindspore as ms
import numpy as np
from tqdm import tqdm

from common.errors import UserError
from common.estimates import is_silent
from corpus.bad_files import BadFiles
from corpus.index import Index
from data import whole_batches
from loss import pairwise_si_snr
from model import ConvTasNet
from network_define import NetWithLoss
from training.ranks import Ranks


class Validation:
    """Mean loss in dB over the mixtures of a validation set, each separated whole; the ranks share them.

    A mixture that is silent, or one of whose sources is, has no SI-SNR and is left out.

    Args:
        net: the network that is trained.
        index: the mixtures of the validation set.
        args: options of the groups "training_data" and "data".
        ranks: the processes of the run.
        bad_files: where files that cannot be read are counted.

    Attribute: `left_out`, the number of mixtures left out; None until that is known.
    """

    def __init__(self, net: ConvTasNet, index: Index, args: argparse.Namespace, ranks: Ranks, bad_files: BadFiles):
        # A cell of its own: switching one between training and not would compile it anew every epoch.
        self.net_with_loss = NetWithLoss(net)
        self.batches = whole_batches(index, args.batch_size, args.num_workers, args.cv_maxlen, ranks.share, bad_files)
        self.path, self.sources, self.ranks = index.path, index.sources, ranks
        self.mixture_si_snr = None  # dB of the mixtures as they are, once known
        self.left_out = None

    def __call__(self) -> float:
        """Returns the loss. Raises UserError if it is not finite, or every mixture is left out."""
        self.net_with_loss.set_train(False)
        loss, mixtures, unprocessed, silent = 0.0, 0, 0.0, 0
        hidden = None if self.ranks.is_first else True
        for batch in tqdm(self.batches, desc="validating", unit="batch", disable=hidden, leave=False):
            mixture, lengths, sources = without_silent_ones(fill_up(batch, self.batches.rows))
            silent += len(batch[0])
            counted = lengths.asnumpy() > 0  # [M]
            loss += float(self.net_with_loss(mixture, lengths, sources).asnumpy()) * counted.sum()
            mixtures += counted.sum()
            silent -= counted.sum()
            if self.mixture_si_snr is None:
                estimates = mixture.expand_dims(1).tile((1, self.sources, 1))  # [M, C, T]
                ratios = pairwise_si_snr(estimates, sources, lengths).asnumpy()  # [M, C, C]
                unprocessed += float(ratios[counted].mean((1, 2)).sum())
        loss, mixtures, unprocessed, silent = self.ranks.sum(loss, mixtures, unprocessed, silent)
        self.left_out = int(silent)
        if not mixtures:
            raise UserError(f"{self.path}: every mixture is silent or has a silent source; take another --valid_dir")
        if self.mixture_si_snr is None:
            self.mixture_si_snr = unprocessed / mixtures
        if not np.isfinite(loss):
            raise UserError(
                f"{self.path}: the validation loss is {loss}; look for a broken file there, or lower --lr or"
                " --max_norm, and go on from the last checkpoint"
            )
        return loss / mixtures

    def improvement(self, loss: float) -> float:
        """The SI-SNR improvement in dB that a loss amounts to, once the mixtures' own SI-SNR is known."""
        return -loss - self.mixture_si_snr


def fill_up(batch: Sequence[ms.Tensor], batch_size: int) -> Sequence[ms.Tensor]:
    """Fill a smaller last batch up with silence of length 0, which the loss leaves out: a new shape would be compiled.

    Takes and returns mixture [M, T], lengths [M] and sources [M, C, T].
    """
    missing = batch_size - len(batch[0])
    if missing == 0:
        return batch
    return tuple(ms.Tensor(np.pad(column.asnumpy(), [(0, missing)] + [(0, 0)] * (column.ndim - 1))) for column in batch)


def without_silent_ones(batch: Sequence[ms.Tensor]) -> Sequence[ms.Tensor]:
    """Give mixtures that are silent, or have a silent source, the length 0, which the loss leaves out.

    Takes and returns mixture [M, T], lengths [M] and sources [M, C, T].
    """
    mixture, lengths, sources = batch
    found = lengths.asnumpy().copy()
    signals = np.concatenate([mixture.asnumpy()[:, np.newaxis], sources.asnumpy()], axis=1)  # [M, 1 + C, T]
    for m, length in enumerate(found):
        if length and is_silent(signals[m, :, :length]).any():
            found[m] = 0
    return mixture, ms.Tensor(found), sources
