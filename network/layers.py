"""The pieces of a convolutional block, on features laid out [M, K, channels].

With channels innermost a 1x1 convolution is one matrix product and a shift in time is a slice of whole rows; the
plain layout [M, channels, K] costs 25 times as much on a CPU, where MindSpore's one-dimensional convolutions fall
back to reference loops.

Beside the matrix products a block costs what it reads and writes, so that the fewest passes over its features win:

    A norm's gain and bias, and with gLN and BN its mean and deviation, are the same for all frames of a mixture. Norms
    therefore give (y, level, gain, shift), where y * level * gain + shift is the normalised x, and the convolution
    that follows works these into its weights. That saves a pass over the features and, in training, the sums over
    all frames that the gradients of gain, bias, mean and deviation need: those of the weights already hold them.

    Gradients of what is not a matrix product are written out: the ones that MindSpore derives copy, pad and sum
    several times as much.

PReLU and the norms leave zeros in the frames after a mixture's end, which is what a convolution over time must meet.
"""

import math

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from network import operators as op


class OffsetAddition(nn.Cell):
    """x [M, K, channels] + offset [M or 1, 1, channels].

    Its gradient sums over the frames by a matrix product. MindSpore's own becomes a sum over two axes at once, which
    the CPU's kernel compiler of 2.10 gets wrong where it fuses the sum with the residual path's addition.
    """

    def construct(self, x, offset):
        return x + offset

    def bprop(self, x, offset, out, dout):
        M, K, _ = dout.shape
        doffset = op.product_over_frames(op.ones((M, K, 1), ms.float32), dout)  # [M, 1, channels]
        return dout, op.sum_over(doffset, 0) if offset.shape[0] < M else doffset


class PointwiseConv(nn.Cell):
    """1x1 convolution: [M, K, inputs] -> [M, K, outputs]."""

    def __init__(self, inputs: int, outputs: int, bias: int, random: np.random.Generator):
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.weight = Parameter(uniform(random, (outputs, inputs), inputs), name="weight")
        self.bias = Parameter(uniform(random, (outputs,), inputs), name="bias") if bias else None
        self.add_offset = OffsetAddition()
        self.product, self.batch_product = op.product, op.batch_product  # precision.py puts others in their place

    def construct(self, x):
        x = self.weigh(x, self.weight)  # [M, K, outputs]
        return x if self.bias is None else self.add_offset(x, op.reshape(self.bias, (1, 1, self.outputs)))

    def weigh(self, x: Tensor, weight: Tensor) -> Tensor:
        """Products of [M, K, inputs] with weights [outputs, inputs]."""
        M, K, _ = x.shape
        return op.reshape(self.product(op.reshape(x, (M * K, self.inputs)), weight), (M, K, self.outputs))


class NormedPointwiseConv(PointwiseConv):
    """1x1 convolution of what a norm gives, worked into the weights: [M, K, inputs] -> [M, K, outputs].

    What stands in the frames after a mixture's end means nothing.
    """

    def construct(self, y, level, gain, shift):
        rows = shift.shape[0]
        weight = self.weight * (level * gain)  # [M or 1, outputs, inputs]
        offset = op.product(op.reshape(shift, (rows, self.inputs)), self.weight)  # [M or 1, outputs]
        if self.bias is not None:
            offset = offset + self.bias
        x = self.weigh(y, op.reshape(weight, self.weight.shape)) if rows == 1 else self.batch_product(y, weight)
        return self.add_offset(x, op.reshape(offset, (rows, 1, self.outputs)))  # [M, K, outputs]


class DepthwiseConv(nn.Cell):
    """Dilated convolution of each channel on its own, of what a norm gives: [M, K, H] -> [M, K, H].

    Before the first and after the last frame of a mixture it meets zeros.
    """

    def __init__(self, H: int, P: int, dilation: int, causal: int, bias: int, random: np.random.Generator):
        super().__init__()
        self.weight = Parameter(uniform(random, (P, H), P), name="weight")
        self.bias = Parameter(uniform(random, (H,), P), name="bias") if bias else None
        reach = (P - 1) * dilation
        self.taps = Taps(P, dilation, reach if causal else reach // 2)
        self.add_offset = OffsetAddition()

    def construct(self, y, level, gain, shift, frame_mask):
        z = self.taps(y, level, self.weight * gain, self.weight * shift, frame_mask)
        return z if self.bias is None else self.add_offset(z, op.reshape(self.bias, (1, 1, y.shape[2])))


class Taps(nn.Cell):
    """Sum of P shifts of x, `dilation` frames apart, each times its weights; the first reaches `past` frames back.

    Args of `construct`:
        x: [M, K, H], zero after a mixture's end.
        level: [M, 1, 1], factor of each mixture, or the constant 1, [1, 1, 1]. Apart from `taps`, so that their
            gradient is one sum over all mixtures and frames: one for each mixture takes five times as long.
        taps: [1, P, H], weights of the shifts of x.
        offsets: [M or 1, P, H], added where the shift is of a true frame: what a norm's shift becomes.
        frame_mask: [M, K, 1].
    """

    def __init__(self, P: int, dilation: int, past: int):
        super().__init__()
        self.P, self.dilation, self.past, self.future = P, dilation, past, (P - 1) * dilation - past

    def construct(self, x, level, taps, offsets, frame_mask):
        shifted = self.weighted(self.shifts(x, self.past, self.future), self.apart(taps))
        return shifted * level + self.weighted(self.shifts(frame_mask, self.past, self.future), self.apart(offsets))

    def weighted(self, shifts: list[Tensor], taps: list[Tensor]) -> Tensor:
        """Sum of the shifts, each times its taps: P times [M, K, H or 1] and P times [M or 1, 1, H] -> [M, K, H]."""
        total = taps[0] * shifts[0]
        for p in range(1, self.P):
            total = total + taps[p] * shifts[p]
        return total

    def apart(self, taps: Tensor) -> list[Tensor]:
        """[M or 1, P, H] -> P times [M or 1, 1, H]."""
        return [op.cut(taps, (0, p, 0), (taps.shape[0], 1, taps.shape[2])) for p in range(self.P)]

    def shifts(self, x: Tensor, before: int, after: int) -> list[Tensor]:
        """The P shifts of x from earliest to latest, each [M, K, H], of x between so many zero frames."""
        M, K, H = x.shape
        parts = [x]
        if before:
            parts = [op.zeros((M, before, H), ms.float32), *parts]
        if after:
            parts = [*parts, op.zeros((M, after, H), ms.float32)]
        padded = op.join_frames(parts) if before or after else x  # [M, before + K + after, H]
        # The shift that is x itself needs no copy.
        return [
            x if p * self.dilation == before else op.cut(padded, (0, p * self.dilation, 0), (M, K, H))
            for p in range(self.P)
        ]

    def bprop(self, x, level, taps, offsets, frame_mask, out, dout):
        # Towards x the convolution runs backwards in time: the taps in reverse, past and future exchanged. The same
        # shifts give the taps' gradients, where shifting x instead of dout would take copies of its own. The level goes
        # into dout first, so that the products below share nothing and are each summed as they are formed.
        dout = dout * level
        reciprocal = op.power(level, -1.0)
        returning = self.shifts(dout, self.future, self.past)[::-1]
        dx = self.weighted(returning, self.apart(taps))  # [M, K, H]
        dlevel = op.sum_over(op.sum_over(x * dx, 2), 1) * reciprocal  # [M, 1, 1]
        dtaps = op.stack([op.sum_away(op.sum_away(x * shift, 1), 0) for shift in returning])  # [P, H]
        masks = op.join_channels(self.shifts(frame_mask, self.past, self.future))  # [M, K, P]
        doffsets = op.product_over_frames(masks, dout) * reciprocal  # [M, P, H]
        if offsets.shape[0] < x.shape[0]:
            doffsets = op.sum_over(doffsets, 0)
        return dx, dlevel, op.reshape(dtaps, taps.shape), doffsets, ops.zeros_like(frame_mask)


class PReLU(nn.Cell):
    """x where positive, slope * x elsewhere; one slope for all channels (paper, equation 6).

    [M, K, channels] and the frame mask [M, K, 1] -> [M, K, channels], zero after a mixture's end.
    """

    def __init__(self):
        super().__init__()
        self.slope = Parameter(Tensor([0.25], ms.float32), name="slope")
        self.rectify = LeakyRectifier()

    def construct(self, x, frame_mask):
        return self.rectify(x, self.slope, frame_mask)


class LeakyRectifier(nn.Cell):
    """PReLU of x [M, K, channels], its slope [1] and the frame mask [M, K, 1], by operators that fuse.

    Its slope's gradient is summed in stages, which keeps the digits.
    """

    def construct(self, x, slope, frame_mask):
        return (op.relu(x) - slope * op.relu(op.negate(x))) * frame_mask

    def bprop(self, x, slope, frame_mask, out, dout):
        dout = dout * frame_mask
        negative = op.cast(x < 0, ms.float32)
        dx = dout * (1 + (slope - 1) * negative)
        dslope = op.reshape(op.sum_away(op.sum_away(dout * x * negative, 2)), (1,))
        return dx, dslope, ops.zeros_like(frame_mask)


def before(counts: Tensor, size: int) -> Tensor:
    """Mask [M, size]: 1 at the first counts[m] places of row m, 0 after."""
    return (ops.arange(0.0, size).reshape(1, size) < counts.reshape(-1, 1)).astype(ms.float32)


def between(starts: Tensor, counts: Tensor, size: int) -> Tensor:
    """Mask [M, U, size]: 1 at the counts[m, u] places of row m from starts[m, u] on."""
    M, U = starts.shape
    ends = before(starts + counts, size).reshape(M, U, size)
    return ends - before(starts, size).reshape(M, U, size)


def uniform(random: np.random.Generator, shape: tuple[int, ...], fan_in: int) -> Tensor:
    """Initial weights, uniform within 1 / sqrt(fan_in), as PyTorch initialises its convolutions."""
    bound = 1 / math.sqrt(fan_in)
    return Tensor(random.uniform(-bound, bound, shape).astype(np.float32))
