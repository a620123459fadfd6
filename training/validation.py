"""The loss of the validation set, whichever rank works it out."""

import mindspore as ms
import numpy as np
from tqdm import tqdm

from common.errors import UserError
from data import whole_batches
from loss import pairwise_si_snr
from network_define import NetWithLoss


class Validation:
    """Mean loss in dB over the utterances of a validation set, each separated whole; the ranks share them.

    Args:
        net: model.ConvTasNet.
        index: a corpus.index.Index.
        args: options of the groups "training_data" and "data".
        ranks: ranks.Ranks.
        bad_files: corpus.bad_files.BadFiles.
    """

    def __init__(self, net, index, args, ranks, bad_files):
        # A cell of its own: switching one between training and not would compile it anew every epoch.
        self.net_with_loss = NetWithLoss(net)
        self.batches = whole_batches(index, args.batch_size, args.num_workers, args.cv_maxlen, ranks.share, bad_files)
        self.path, self.sources, self.ranks = index.path, index.sources, ranks
        self.mixture_si_snr = None  # dB of the mixtures as they are, once known

    def __call__(self):
        """Returns the loss. Raises UserError if it is not finite."""
        self.net_with_loss.set_train(False)
        loss, mixtures, unprocessed = 0.0, 0, 0.0
        hidden = None if self.ranks.is_first else True
        for batch in tqdm(self.batches, desc="validating", unit="batch", disable=hidden, leave=False):
            mixture, lengths, sources = fill_up(batch, self.batches.rows)
            counted = lengths.asnumpy() > 0  # [M]
            loss += float(self.net_with_loss(mixture, lengths, sources).asnumpy()) * counted.sum()
            mixtures += counted.sum()
            if self.mixture_si_snr is None:
                estimates = mixture.expand_dims(1).tile((1, self.sources, 1))  # [M, C, T]
                ratios = pairwise_si_snr(estimates, sources, lengths).asnumpy()  # [M, C, C]
                unprocessed += float(ratios[counted].mean((1, 2)).sum())
        loss, mixtures, unprocessed = self.ranks.sum(loss, mixtures, unprocessed)
        if self.mixture_si_snr is None:
            self.mixture_si_snr = unprocessed / mixtures
        if not np.isfinite(loss):
            raise UserError(
                f"{self.path}: the validation loss is {loss}; look for a broken file there, or lower --lr or"
                " --max_norm, and go on from the last checkpoint"
            )
        return loss / mixtures

    def improvement(self, loss):
        """SI-SNR improvement in dB that a loss amounts to."""
        return -loss - self.mixture_si_snr


def fill_up(batch, batch_size):
    """Fill a smaller last batch up with silence of length 0, which the loss leaves out: a new shape would be compiled.

    Takes and returns mixture [M, T], lengths [M] and sources [M, C, T].
    """
    missing = batch_size - len(batch[0])
    if missing == 0:
        return batch
    return tuple(ms.Tensor(np.pad(column.asnumpy(), [(0, missing)] + [(0, 0)] * (column.ndim - 1))) for column in batch)
