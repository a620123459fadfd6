"""`block.sums_of_taps` as a kernel in Triton's language.

The kernel that torch.compile 2.11 makes of that function on an H200 gives wrong sums, other ones each time and some of
them NaN: their relative error was up to 1.8 where this one's is that of rounding. Each of SPLITS parts of all frames is
summed by one program for 64 channels; the parts are added up afterwards.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from common.numbers import ceil_div

SPLITS = 132  # as many as an H200 has multiprocessors
CHANNELS = 64  # of a program
FRAMES = 32  # that a program takes at once
RESULTS = 7  # three products, three sums, the sum of all


@triton.jit
def _column_sums(
    du, y, mean, deviation, slope_at, dilation_at, out, K, MK, frames_of_split, BEFORE: tl.constexpr,  # noqa: ANN001
    OF_EACH_FRAME: tl.constexpr, H: tl.constexpr, CHANNELS: tl.constexpr, FRAMES: tl.constexpr,
):  # fmt: skip
    h = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    split = tl.program_id(1)
    dilation = tl.load(dilation_at).to(tl.int32)
    slope = tl.load(slope_at)
    product_0 = tl.zeros([CHANNELS], tl.float32)
    product_1 = tl.zeros([CHANNELS], tl.float32)
    product_2 = tl.zeros([CHANNELS], tl.float32)
    sum_0 = tl.zeros([CHANNELS], tl.float32)
    sum_1 = tl.zeros([CHANNELS], tl.float32)
    sum_2 = tl.zeros([CHANNELS], tl.float32)
    sum_of_all = tl.zeros([CHANNELS], tl.float32)
    end = tl.minimum((split + 1) * frames_of_split, MK)
    for begin in range(split * frames_of_split, end, FRAMES):
        row = begin + tl.arange(0, FRAMES)  # of [M * K]
        inside = row < end
        m = row // K
        k = row % K
        gradient = tl.load(du + row[:, None] * H + h[None, :], mask=inside[:, None], other=0.0).to(tl.float32)
        sum_of_all += tl.sum(gradient, 0)
        for tap in tl.static_range(3):
            place = k + (tap - BEFORE) * dilation
            exists = inside & (place >= 0) & (place < K)
            source = m * K + place
            value = tl.load(y + source[:, None] * H + h[None, :], mask=exists[:, None], other=0.0).to(tl.float32)
            norm_at = source if OF_EACH_FRAME else m
            mean_here = tl.load(mean + norm_at, mask=exists, other=0.0)
            deviation_here = tl.load(deviation + norm_at, mask=exists, other=0.0)
            value = tl.where(value > 0, value, slope * value)
            value = (value - mean_here[:, None]) * deviation_here[:, None]
            value = tl.where(exists[:, None], value, 0.0)
            product = tl.sum(gradient * value, 0)
            there = tl.sum(tl.where(exists[:, None], gradient, 0.0), 0)
            if tap == 0:
                product_0 += product
                sum_0 += there
            elif tap == 1:
                product_1 += product
                sum_1 += there
            else:
                product_2 += product
                sum_2 += there
    to = out + split * 7 * H + h
    tl.store(to, product_0)
    tl.store(to + H, product_1)
    tl.store(to + 2 * H, product_2)
    tl.store(to + 3 * H, sum_0)
    tl.store(to + 4 * H, sum_1)
    tl.store(to + 5 * H, sum_2)
    tl.store(to + 6 * H, sum_of_all)


def sums_of_taps(
    du: Tensor, y: Tensor, dilation: Tensor, mean: Tensor, deviation: Tensor, slope: Tensor, taps: int, causal: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The same as `block.sums_of_taps`, of 3 taps and channels in multiples of 64."""
    M, K, H = y.shape
    if taps != 3 or H % CHANNELS:
        raise ValueError(f"{taps} taps, {H} channels: must be 3 taps, and channels in multiples of {CHANNELS}")
    out = torch.empty(SPLITS, RESULTS, H, device=y.device)
    _column_sums[(H // CHANNELS, SPLITS)](
        du.contiguous(), y.contiguous(), mean.contiguous(), deviation.contiguous(), slope, dilation, out, K, M * K,
        ceil_div(M * K, SPLITS), BEFORE=2 if causal else 1, OF_EACH_FRAME=causal, H=H, CHANNELS=CHANNELS, FRAMES=FRAMES,
        num_warps=4,
    )  # fmt: skip
    found = out.sum(0)
    return found[:3], found[3:6], found[6]
