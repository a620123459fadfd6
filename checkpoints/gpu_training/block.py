"""A convolutional block (paper, figure 1.C), and its gradients written out.

The functions pass over the features once each. The depthwise convolution is a sum of shifted features, in one pass with
the norm before it, the PReLU after it and the sums of the next norm. The dilation is a number in memory, so that all
blocks share one set of kernels, and compiling takes seconds.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from checkpoints.gpu_training.arithmetic import (
    linear,
    normed_linear,
    prelu,
    statistics,
    statistics_backward,
    widened,
)


class Weights(NamedTuple):
    """The weights of a block, or their gradients. The first norm and PReLU are `in`, the second `out`."""

    conv_in: Tensor  # [H, B]
    bias_in: Tensor  # [H]
    slope_in: Tensor  # [1]
    gain_in: Tensor  # [H]
    shift_in: Tensor  # [H]
    taps: Tensor  # [P, H]
    bias_taps: Tensor  # [H]
    slope_out: Tensor  # [1]
    gain_out: Tensor  # [H]
    shift_out: Tensor  # [H]
    conv_out: Tensor  # [B, H]
    bias_out: Tensor  # [B]


class Kept(NamedTuple):
    """What `convolve` keeps for the gradients."""

    y: Tensor  # [M, K, H], after the first convolution
    u: Tensor  # [M, K, H], after the depthwise one
    z: Tensor  # [M, K, H], after the PReLU after that
    product: Tensor  # [M, K, B], of the last convolution, without norm and bias
    mean_in: Tensor  # [M, K or 1, 1], and so below
    deviation_in: Tensor
    mean_out: Tensor
    deviation_out: Tensor


def shifts(
    x: Tensor, taps: int, dilation: Tensor, causal: bool, backwards: bool = False
) -> list[tuple[Tensor, Tensor]]:
    """The shifts of x [M, K, H] that a dilated convolution weighs, in the order of its taps; zero beyond the ends.

    Args:
        x: what is convolved; with `backwards` the gradient of the convolution's output, whose shifts make the gradient
            of what was convolved.
        taps: P.
        dilation: int64 [], in frames.
        causal: whether no tap is after the frame.

    Returns pairs (shift [M, K, H], bool [K, 1] where it is of a frame that exists).
    """
    K = x.shape[1]
    before = (taps - 1 if causal else (taps - 1) // 2) * dilation
    frames = torch.arange(K, device=x.device)
    found = []
    for tap in range(taps):
        places = frames + (before - tap * dilation if backwards else tap * dilation - before)
        exist = ((places >= 0) & (places < K))[:, None]
        found.append((torch.where(exist, x[:, places.clamp(0, K - 1)], 0.0), exist))
    return found


def convolve(x: Tensor, dilation: Tensor, w: Weights, causal: bool) -> tuple[Tensor, Kept]:
    """The block: x [M, K, B] -> x after the residual path [M, K, B], and what the gradients need."""
    y = linear(x, w.conv_in, w.bias_in)  # [M, K, H]
    rectified = prelu(widened(y), w.slope_in)
    mean_in, deviation_in = statistics(causal, rectified)
    normed = (rectified - mean_in) * deviation_in
    u = w.bias_taps
    for tap, (shift, exists) in enumerate(shifts(normed, len(w.taps), dilation, causal)):
        u = u + shift * (w.taps[tap] * w.gain_in) + torch.where(exists, w.taps[tap] * w.shift_in, 0.0)
    u = u.to(x.dtype)  # [M, K, H]
    z = prelu(widened(u), w.slope_out)
    mean_out, deviation_out = statistics(causal, z)
    z = z.to(x.dtype)  # [M, K, H]
    product, out = normed_linear(z, mean_out, deviation_out, w.gain_out, w.shift_out, w.conv_out, w.bias_out)
    new = (widened(x) + out).to(x.dtype)  # [M, K, B]
    return new, Kept(y, u, z, product, mean_in, deviation_in, mean_out, deviation_out)


def backward_out(
    dout: Tensor, z: Tensor, product: Tensor, mean: Tensor, deviation: Tensor, w: Weights, causal: bool
) -> tuple[Tensor, ...]:
    """Gradients of the last convolution, and of the norm before it; dout [M, K, B] is that of the output.

    Returns the gradient of z as it goes through the convolution alone [M, K, H], the (constant, factor) that the
    statistics add to it, and the gradients of gain, shift, conv and bias.
    """
    M, K, H = z.shape
    dout, conv, gain, shift = widened(dout), w.conv_out, w.gain_out, w.shift_out
    row_sums = conv @ gain  # [B]
    along_product = (dout * widened(product)).sum(2, keepdim=True)  # [M, K, 1]
    along_sums = (dout * row_sums).sum(2, keepdim=True)
    constant, factor = statistics_backward(
        causal, z, mean, deviation, -deviation * along_sums, along_product - mean * along_sums
    )
    dbias = dout.sum((0, 1))
    drow_sums = -(dout * (mean * deviation)).sum((0, 1))
    dproduct = (dout * deviation).to(z.dtype).view(M * K, -1)
    dweight = widened(dproduct.t() @ z.view(M * K, H))  # of conv * gain
    dz = (dproduct @ (conv * gain).to(z.dtype)).view(M, K, H)
    dconv = (dweight + drow_sums[:, None]) * gain + dbias[:, None] * shift
    return dz, constant, factor, (dweight * conv).sum(0) + drow_sums @ conv, dbias @ conv, dconv, dbias


def backward_prelu(dz: Tensor, u: Tensor, constant: Tensor, factor: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of u [M, K, H] and of the slope [1] of the PReLU after it, of what `backward_out` returns first."""
    dz, u32 = widened(dz), widened(u)
    dz = dz + constant + factor * prelu(u32, slope)
    dslope = torch.where(u32 > 0, 0.0, dz * u32).sum(2).sum()
    return (dz * torch.where(u32 > 0, 1.0, slope)).to(u.dtype), dslope.view(1)


def gradient_of_taps(du: Tensor, taps: Tensor, dilation: Tensor, causal: bool) -> Tensor:
    """Gradient of what `taps` [P, H] were convolved with: [M, K, H] -> [M, K, H]."""
    backwards = shifts(du, len(taps), dilation, causal, backwards=True)
    return sum(shifted * taps[tap] for tap, (shifted, _) in enumerate(backwards))


def backward_statistics(
    du: Tensor, y: Tensor, dilation: Tensor, mean: Tensor, deviation: Tensor, w: Weights, causal: bool
) -> tuple[Tensor, Tensor]:
    """The (constant, factor) of the first norm's statistics; du [M, K, H] is the gradient of u."""
    rectified = prelu(widened(y), w.slope_in)
    dnormed = gradient_of_taps(widened(du), w.taps * w.gain_in, dilation, causal)
    dmean = -deviation * dnormed.sum(2, keepdim=True)
    ddeviation = (dnormed * (rectified - mean)).sum(2, keepdim=True)
    return statistics_backward(causal, y, mean, deviation, dmean, ddeviation)


def sums_of_taps(
    du: Tensor, y: Tensor, dilation: Tensor, mean: Tensor, deviation: Tensor, slope: Tensor, taps: int, causal: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over mixtures and frames that the depthwise convolution's gradients are made of.

    `kernels` has the same for GPUs. Returns, for each tap, the sum of du times the normed features that it weighs
    [P, H], and the sum of du where there are such [P, H]; and the sum of du [H].
    """
    du = widened(du)
    normed = (prelu(widened(y), slope) - mean) * deviation
    shifted = shifts(normed, taps, dilation, causal)
    products = torch.stack([(du * shift).sum((0, 1)) for shift, _ in shifted])
    sums = torch.stack([torch.where(exists, du, 0.0).sum((0, 1)) for _, exists in shifted])
    return products, sums, du.sum((0, 1))


def backward_in(
    dnew: Tensor, du: Tensor, x: Tensor, y: Tensor, dilation: Tensor, constant: Tensor, factor: Tensor,
    deviation: Tensor, w: Weights, causal: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of the block's input, of the first convolution and the first PReLU.

    `dnew` [M, K, B] is the gradient along the residual path; `constant` and `factor` are those of
    `backward_statistics`. Returns the gradients of x [M, K, B], conv, bias and slope.
    """
    M, K, H = y.shape
    y32, slope = widened(y), w.slope_in
    drectified = gradient_of_taps(widened(du), w.taps * w.gain_in, dilation, causal) * deviation
    drectified = drectified + constant + factor * prelu(y32, slope)
    dslope = torch.where(y32 > 0, 0.0, drectified * y32).sum(2).sum()
    dy = (drectified * torch.where(y32 > 0, 1.0, slope)).to(y.dtype).view(M * K, H)
    dbias = widened(dy).sum(0)
    dconv = widened(dy.t() @ x.view(M * K, -1))
    dx = torch.addmm(dnew.reshape(M * K, -1), dy, w.conv_in.to(y.dtype))
    return dx.view(x.shape), dconv, dbias, dslope.view(1)


class Convolve(torch.autograd.Function):
    """`convolve` with the gradients that are written out above, by the functions of a `fast.Functions`."""

    @staticmethod
    def forward(ctx: Any, functions: Any, causal: bool, dilation: Tensor, x: Tensor, *weights: Tensor) -> Tensor:
        new, kept = functions.convolve(x, dilation, Weights(*weights), causal)
        ctx.save_for_backward(dilation, x, *kept, *weights)
        ctx.functions, ctx.causal = functions, causal
        return new

    @staticmethod
    def backward(ctx: Any, dnew: Tensor) -> tuple[Tensor | None, ...]:
        functions, causal = ctx.functions, ctx.causal
        dilation, x, *rest = ctx.saved_tensors
        kept, w = Kept(*rest[: len(Kept._fields)]), Weights(*rest[len(Kept._fields) :])
        dz, constant, factor, dgain_out, dshift_out, dconv_out, dbias_out = functions.backward_out(
            dnew.contiguous(), kept.z, kept.product, kept.mean_out, kept.deviation_out, w, causal
        )
        du, dslope_out = functions.backward_prelu(dz, kept.u, constant, factor, w.slope_out)
        constant, factor = functions.backward_statistics(
            du, kept.y, dilation, kept.mean_in, kept.deviation_in, w, causal
        )
        products, sums, dbias_taps = functions.sums_of_taps(
            du, kept.y, dilation, kept.mean_in, kept.deviation_in, w.slope_in, len(w.taps), causal
        )
        dx, dconv_in, dbias_in, dslope_in = functions.backward_in(
            dnew, du, x, kept.y, dilation, constant, factor, kept.deviation_in, w, causal
        )
        dweights = Weights(
            conv_in=dconv_in, bias_in=dbias_in, slope_in=dslope_in, gain_in=(products * w.taps).sum(0),
            shift_in=(sums * w.taps).sum(0), taps=products * w.gain_in + sums * w.shift_in, bias_taps=dbias_taps,
            slope_out=dslope_out, gain_out=dgain_out, shift_out=dshift_out, conv_out=dconv_out, bias_out=dbias_out,
        )  # fmt: skip
        return None, None, None, dx, *dweights
