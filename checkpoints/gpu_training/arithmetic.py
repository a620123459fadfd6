"""What a network is computed with: frames and samples, norms, PReLU, and the products that they go into.

Features are laid out [M, K, channels]: M mixtures of K frames. On a GPU they are bfloat16, because a GPU computes these
networks faster than it can read and write their features; sums, norms and the loss are float32. In tests all is
float64. `causal` chooses the norm: cgLN, of a frame over all frames up to it, or gLN, over all frames of the mixture.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

EPSILON = 1e-8  # of the norms


def widened(x: Tensor) -> Tensor:
    """bfloat16 as float32, in which sums are taken; anything else as it is."""
    return x.float() if x.dtype == torch.bfloat16 else x


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """1x1 convolution in the precision of x: [M, K, inputs] -> [M, K, outputs]."""
    return F.linear(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype))


def prelu(x: Tensor, slope: Tensor) -> Tensor:
    """x [M, K, channels] where positive, slope [1] * x elsewhere."""
    slope = slope.expand(x.shape[0], x.shape[1], 1)  # its gradient is then summed over the channels first
    return torch.where(x > 0, x, slope * x)


def _count(causal: bool, like: Tensor) -> Tensor | float:
    """How many numbers of features [M, K, channels] the norm of a frame is over: [1, K, 1] where causal."""
    _, K, channels = like.shape
    if not causal:
        return float(channels * K)
    return channels * torch.arange(1, K + 1, device=like.device, dtype=widened(like).dtype).view(1, K, 1)


def _gathered(causal: bool, sums: Tensor) -> Tensor:
    """Sums of each frame [M, K, 1], over all frames [M, 1, 1], or over those up to each [M, K, 1]."""
    return sums.cumsum(1) if causal else sums.sum(1, keepdim=True)


def statistics(causal: bool, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and reciprocal deviation of x [M, K, channels]: [M, K, 1] of cgLN, [M, 1, 1] of gLN."""
    count = _count(causal, x)
    mean = _gathered(causal, x.sum(2, keepdim=True)) / count
    variance = _gathered(causal, x.square().sum(2, keepdim=True)) / count - mean.square()
    return mean, (variance.clamp(min=0) + EPSILON).rsqrt()


def statistics_backward(
    causal: bool, like: Tensor, mean: Tensor, deviation: Tensor, dmean: Tensor, ddeviation: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradient of `statistics`, given what each frame adds to those of its two results, [M, K, 1].

    `like` is any tensor of the shape that the statistics are of. Returns (constant, factor), [M, K or 1, 1]: the
    gradient of x is constant + factor * x.
    """
    if not causal:
        dmean, ddeviation = dmean.sum(1, keepdim=True), ddeviation.sum(1, keepdim=True)
    count = _count(causal, like)
    dvariance = -0.5 * deviation.pow(3) * ddeviation
    constant, factor = (dmean - 2 * mean * dvariance) / count, 2 * dvariance / count
    if causal:  # a frame counts in its own mean and in all later ones
        constant, factor = (each.flip(1).cumsum(1).flip(1) for each in (constant, factor))
    return constant, factor


def normed_linear(
    x: Tensor, mean: Tensor, deviation: Tensor, gain: Tensor, shift: Tensor, weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    """1x1 convolution of a norm's output, which is never in memory: the norm is applied to the smaller result.

    Args:
        x: [M, K, inputs].
        mean, deviation: of `statistics`.
        gain, shift: the norm's, [inputs].
        weight, bias: the convolution's, [outputs, inputs] and [outputs].

    Returns the product alone, in the precision of x, and the convolution in float32: [M, K, outputs].
    """
    product = linear(x, weight * gain)
    return product, widened(product) * deviation + (weight @ shift + bias - mean * deviation * (weight @ gain))


def encode(
    mixture: Tensor, filters: Tensor, gain: Tensor, shift: Tensor, weight: Tensor, bias: Tensor, causal: bool,
    precision: torch.dtype,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Encoder, first norm and bottleneck: [M, T] -> w [M, K, N] and x [M, K, B], both in `precision`."""
    hop = filters.shape[1] // 2
    K = mixture.shape[1] // hop - 1
    hops = mixture[:, : (K + 1) * hop].reshape(-1, K + 1, hop)
    frames = torch.cat((hops[:, :-1], hops[:, 1:]), 2).to(precision)  # [M, K, L]
    w = F.relu(linear(frames, filters))
    mean, deviation = statistics(causal, widened(w))
    return w, normed_linear(w, mean, deviation, gain, shift, weight, bias)[1].to(precision)


def decode(x: Tensor, w: Tensor, slope: Tensor, weight: Tensor, bias: Tensor, basis: Tensor, T: int) -> Tensor:
    """Masks and decoder: x [M, K, B] and w [M, K, N] -> estimates [M, C, T], zero where no frame is."""
    M, K, N = w.shape
    masks = F.relu(linear(prelu(widened(x), slope).to(x.dtype), weight, bias)).view(M, K, -1, N)  # [M, K, C, N]
    halves = widened(linear(w[:, :, None] * masks, basis.t())).chunk(2, 3)  # [M, K, C, L / 2] each
    samples = F.pad(halves[0], (0, 0, 0, 0, 0, 1)) + F.pad(halves[1], (0, 0, 0, 0, 1, 0))  # [M, K + 1, C, L / 2]
    samples = samples.transpose(1, 2).reshape(M, masks.shape[2], -1)
    return F.pad(samples, (0, T - samples.shape[2]))
