"""What the training makes small, the loss, and what tells whether it helped, the improvement of whole mixtures."""

from itertools import permutations

import torch
from torch import Tensor

EPSILON = 1e-8
SILENT = 1e-5  # mean square of a source below which it counts as silent: -50 dB of full scale


def pairwise_si_snr(estimates: Tensor, sources: Tensor) -> Tensor:
    """Scale-invariant signal-to-noise ratio of every estimate against every source, means removed.

    Both are [M, C, T]. Returns [M, C, C] in dB: [m, i, j] is estimate i against source j.
    """
    estimates = estimates - estimates.mean(2, keepdim=True)
    sources = sources - sources.mean(2, keepdim=True)
    products = (estimates[:, :, None] * sources[:, None]).sum(3)  # [M, C, C]
    target = products.square() / (sources.square().sum(2)[:, None] + EPSILON)
    noise = (estimates.square().sum(2)[:, :, None] - target).clamp(min=0)
    return 10 * torch.log10(target / (noise + EPSILON) + EPSILON)


def separation_loss(estimates: Tensor, sources: Tensor, quiet: float, floor: float) -> tuple[Tensor, Tensor]:
    """Negative SI-SNR of the best order, in dB, of estimates and sources [M, 2, T].

    A silent source has no SI-SNR. Beside a source that sounds, its estimate should be quieter than the other: each dB
    of that, as far as 30, counts as `quiet` dB of SI-SNR. Where both are silent a mixture's loss is 0.

    Returns the mean over the mixtures, each no lower than `floor`, and the losses [M] themselves, without gradient.
    """
    values = pairwise_si_snr(estimates, sources)
    sound = (sources.square().mean(2) > SILENT).float()  # [M, C]
    energy = estimates.square().sum(2)  # [M, C]
    silence = -10 * torch.log10(energy / (energy.flip(1) + 1e-5) + 1e-3)  # [M, C] in dB
    orders = [
        sum(
            values[:, estimate, source] * sound[:, source] + quiet * silence[:, estimate] * (1 - sound[:, source])
            for source, estimate in enumerate(order)
        )
        for order in permutations(range(sources.shape[1]))
    ]
    some = (sound.sum(1) > 0).float()
    losses = -torch.stack(orders, 1).amax(1) / sound.sum(1).clamp(min=1) * some  # [M]
    return losses.clamp(min=floor).mean(), losses.detach()


def improvement(estimates: Tensor, mixture: Tensor, sources: Tensor) -> Tensor:
    """SI-SNR in dB of the estimates [C, T], in their best order, less that of the mixture [T], the mean of both."""
    signals = torch.cat((estimates, mixture[None])).double()
    signals, sources = (x - x.mean(1, keepdim=True) for x in (signals, sources.double()))
    products = (signals @ sources.t()).square()  # [C + 1, C]
    energies = signals.square().sum(1)[:, None] * sources.square().sum(1)
    values = 10 * torch.log10(products / (energies - products).clamp(min=1e-300)).clamp(-10, 10)
    orders = permutations(range(len(sources)))
    best = torch.stack([values[list(order), range(len(order))].mean() for order in orders]).max()
    return best - values[-1].mean()
