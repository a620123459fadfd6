"""Permutation-invariant SI-SNR (paper, sections 2.D and 3.B): the pairwise ratios and the search for the best order.

Estimates come in no particular order, so that the loss of a mixture is that of the best assignment of estimates to
sources. Ratios are in dB; the loss is their negative, so a good network's loss is below zero.
"""

from itertools import permutations

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from network.layers import before

EPSILON = 1e-8  # keeps silent sources and estimates finite: they score -80 dB, with a gradient of zero


def pairwise_si_snr(estimates: Tensor, sources: Tensor, lengths: Tensor) -> Tensor:
    """Scale-invariant signal-to-noise ratio of every estimate against every source.

    Args:
        estimates, sources: [M, C, T] float32.
        lengths: [M] int32, true samples of each mixture; what follows them does not count.

    Returns [M, C, C] in dB: [m, i, j] is estimate i against source j.
    """
    M, _, T = sources.shape
    lengths = lengths.astype(ms.float32)
    mask = before(lengths, T).reshape(M, 1, T)
    count = ops.maximum(lengths, 1.0).reshape(M, 1, 1)
    estimate = zero_mean(estimates, mask, count).expand_dims(2)  # [M, C, 1, T]
    source = zero_mean(sources, mask, count).expand_dims(1)  # [M, 1, C, T]
    energy = source.square().sum(3, keepdims=True)  # [M, 1, C, 1]
    target = (estimate * source).sum(3, keepdims=True) * source / (energy + EPSILON)  # [M, C, C, T]
    noise = estimate - target
    ratio = target.square().sum(3) / (noise.square().sum(3) + EPSILON)  # [M, C, C]
    return ops.log(ratio + EPSILON) * (10 / np.log(10))


def zero_mean(signals: Tensor, mask: Tensor, count: Tensor) -> Tensor:
    """Take the mean over the true samples off: [M, C, T] with mask [M, 1, T] and count [M, 1, 1]."""
    signals = signals * mask
    return (signals - signals.sum(2, keepdims=True) / count) * mask


class PermutationSearch(nn.Cell):
    """How well each of the C! orders of C estimates fits C sources: [M, C, C] -> [M, C!], means over sources."""

    def __init__(self, C: int):
        super().__init__()
        self.C = C
        self.orders = np.array(list(permutations(range(C))))  # [C!, C]: order[j] is the estimate for source j
        chosen = np.zeros((C, C, len(self.orders)), np.float32)  # [i, j, order]: 1 / C where i goes to j
        for number, order in enumerate(self.orders):
            chosen[order, np.arange(C), number] = 1 / C
        self.chosen = Tensor(chosen.reshape(C * C, -1))

    def construct(self, pairwise):
        return ops.matmul(pairwise.reshape(-1, self.C * self.C), self.chosen)


class SeparationLoss(nn.Cell):
    """Negative SI-SNR of the best order, averaged over the mixtures of a batch.

    Args:
        C: sources of a mixture.
    """

    def __init__(self, C: int):
        super().__init__()
        self.search = PermutationSearch(C)

    def construct(self, estimates, sources, lengths):
        """[M, C, T], [M, C, T], [M] -> a number in dB. Mixtures of length 0, which fill up a batch, do not count."""
        best = self.search(pairwise_si_snr(estimates, sources, lengths)).amax(1)  # [M]
        counts = (lengths > 0).astype(ms.float32)  # [M]
        return -(best * counts).sum() / ops.maximum(counts.sum(), 1.0)
