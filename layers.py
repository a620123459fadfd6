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

# Operators as objects, where functions and methods of tensors would read better: MindSpore works out the types of a
# function's body anew wherever it is called, which is most of the time that a network takes to compile.
reshape, cast, square, power, relu, negate = ops.Reshape(), ops.Cast(), ops.Square(), ops.Pow(), ops.ReLU(), ops.Neg()
sum_over, sum_away = ops.ReduceSum(keep_dims=True), ops.ReduceSum(keep_dims=False)
cut, maximum = ops.Slice(), ops.Maximum()
zeros, ones = ops.Zeros(), ops.Ones()
join_frames, join_channels = ops.Concat(1), ops.Concat(2)
product, batch_product = ops.MatMul(transpose_b=True), ops.BatchMatMul(transpose_b=True)
stack_taps, product_over_frames = ops.Stack(0), ops.BatchMatMul(transpose_a=True)

EPSILON = 1e-8  # of the layer norms, as in the paper's code and the three ports
BATCH_NORM_EPSILON = 1e-5
ONE = Tensor(np.ones((1, 1, 1), np.float32))


class OffsetAddition(nn.Cell):
    """x [M, K, channels] + offset [M or 1, 1, channels].

    Its gradient sums over the frames by a matrix product. MindSpore's own becomes a sum over two axes at once, which
    the CPU's kernel compiler of 2.10 gets wrong where it fuses the sum with the residual path's addition.
    """

    def construct(self, x, offset):
        return x + offset

    def bprop(self, x, offset, out, dout):
        M, K, _ = dout.shape
        doffset = product_over_frames(ones((M, K, 1), ms.float32), dout)  # [M, 1, channels]
        return dout, sum_over(doffset, 0) if offset.shape[0] < M else doffset


class PointwiseConv(nn.Cell):
    """1x1 convolution: [M, K, inputs] -> [M, K, outputs]."""

    def __init__(self, inputs, outputs, bias, random):
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.weight = Parameter(uniform(random, (outputs, inputs), inputs), name="weight")
        self.bias = Parameter(uniform(random, (outputs,), inputs), name="bias") if bias else None
        self.add_offset = OffsetAddition()
        self.product, self.batch_product = product, batch_product  # precision.py puts others in their place

    def construct(self, x):
        x = self.weigh(x, self.weight)  # [M, K, outputs]
        return x if self.bias is None else self.add_offset(x, reshape(self.bias, (1, 1, self.outputs)))

    def weigh(self, x, weight):
        """Products of [M, K, inputs] with weights [outputs, inputs]."""
        M, K, _ = x.shape
        return reshape(self.product(reshape(x, (M * K, self.inputs)), weight), (M, K, self.outputs))


class NormedPointwiseConv(PointwiseConv):
    """1x1 convolution of what a norm gives, worked into the weights: [M, K, inputs] -> [M, K, outputs].

    What stands in the frames after a mixture's end means nothing.
    """

    def construct(self, y, level, gain, shift):
        rows = shift.shape[0]
        weight = self.weight * (level * gain)  # [M or 1, outputs, inputs]
        offset = product(reshape(shift, (rows, self.inputs)), self.weight)  # [M or 1, outputs]
        if self.bias is not None:
            offset = offset + self.bias
        x = self.weigh(y, reshape(weight, self.weight.shape)) if rows == 1 else self.batch_product(y, weight)
        return self.add_offset(x, reshape(offset, (rows, 1, self.outputs)))  # [M, K, outputs]


class DepthwiseConv(nn.Cell):
    """Dilated convolution of each channel on its own, of what a norm gives: [M, K, H] -> [M, K, H].

    Before the first and after the last frame of a mixture it meets zeros.
    """

    def __init__(self, H, P, dilation, causal, bias, random):
        super().__init__()
        self.weight = Parameter(uniform(random, (P, H), P), name="weight")
        self.bias = Parameter(uniform(random, (H,), P), name="bias") if bias else None
        reach = (P - 1) * dilation
        self.taps = Taps(P, dilation, reach if causal else reach // 2)
        self.add_offset = OffsetAddition()

    def construct(self, y, level, gain, shift, frame_mask):
        z = self.taps(y, level, self.weight * gain, self.weight * shift, frame_mask)
        return z if self.bias is None else self.add_offset(z, reshape(self.bias, (1, 1, y.shape[2])))


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

    def __init__(self, P, dilation, past):
        super().__init__()
        self.P, self.dilation, self.past, self.future = P, dilation, past, (P - 1) * dilation - past

    def construct(self, x, level, taps, offsets, frame_mask):
        shifted = self.weighted(self.shifts(x, self.past, self.future), self.apart(taps))
        return shifted * level + self.weighted(self.shifts(frame_mask, self.past, self.future), self.apart(offsets))

    def weighted(self, shifts, taps):
        """Sum of the shifts, each times its taps: P times [M, K, H or 1] and P times [M or 1, 1, H] -> [M, K, H]."""
        total = taps[0] * shifts[0]
        for p in range(1, self.P):
            total = total + taps[p] * shifts[p]
        return total

    def apart(self, taps):
        """[M or 1, P, H] -> P times [M or 1, 1, H]."""
        return [cut(taps, (0, p, 0), (taps.shape[0], 1, taps.shape[2])) for p in range(self.P)]

    def shifts(self, x, before, after):
        """The P shifts of x from earliest to latest, each [M, K, H], of x between so many zero frames."""
        M, K, H = x.shape
        parts = [x]
        if before:
            parts = [zeros((M, before, H), ms.float32), *parts]
        if after:
            parts = [*parts, zeros((M, after, H), ms.float32)]
        padded = join_frames(parts) if before or after else x  # [M, before + K + after, H]
        # The shift that is x itself needs no copy.
        return [
            x if p * self.dilation == before else cut(padded, (0, p * self.dilation, 0), (M, K, H))
            for p in range(self.P)
        ]

    def bprop(self, x, level, taps, offsets, frame_mask, out, dout):
        # Towards x the convolution runs backwards in time: the taps in reverse, past and future exchanged. The same
        # shifts give the taps' gradients, where shifting x instead of dout would take copies of its own. The level goes
        # into dout first, so that the products below share nothing and are each summed as they are formed.
        dout = dout * level
        reciprocal = power(level, -1.0)
        returning = self.shifts(dout, self.future, self.past)[::-1]
        dx = self.weighted(returning, self.apart(taps))  # [M, K, H]
        dlevel = sum_over(sum_over(x * dx, 2), 1) * reciprocal  # [M, 1, 1]
        dtaps = stack_taps([sum_away(sum_away(x * shift, 1), 0) for shift in returning])  # [P, H]
        masks = join_channels(self.shifts(frame_mask, self.past, self.future))  # [M, K, P]
        doffsets = product_over_frames(masks, dout) * reciprocal  # [M, P, H]
        if offsets.shape[0] < x.shape[0]:
            doffsets = sum_over(doffsets, 0)
        return dx, dlevel, reshape(dtaps, taps.shape), doffsets, ops.zeros_like(frame_mask)


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
        return (relu(x) - slope * relu(negate(x))) * frame_mask

    def bprop(self, x, slope, frame_mask, out, dout):
        dout = dout * frame_mask
        negative = cast(x < 0, ms.float32)
        dx = dout * (1 + (slope - 1) * negative)
        dslope = reshape(sum_away(sum_away(dout * x * negative, 2)), (1,))
        return dx, dslope, ops.zeros_like(frame_mask)


class Norm(nn.Cell):
    """What the norms share: a gain and a bias for each channel.

    A norm takes x [M, K, channels], zero after a mixture's end, and the frame mask [M, K, 1], 1 at a mixture's true
    frames and 0 after them, which count for nothing. It returns y [M, K, channels], likewise zero after the end, level
    [M or 1, 1, 1], gain [1, 1, channels] and shift [M or 1, 1, channels]: at true frames the normalised x is
    y * level * gain + shift.

    Where a row holds U utterances one after another, `utterances` [M, U, K] is 1 at the frames of each, and the frame
    mask at those of all.
    """

    def __init__(self, channels):
        super().__init__()
        self.gain = Parameter(Tensor(np.ones(channels, np.float32)), name="gain")
        self.bias = Parameter(Tensor(np.zeros(channels, np.float32)), name="bias")

    def affine(self):
        """Level 1, and gain and bias, [1, 1, channels]."""
        shape = (1, 1, self.gain.shape[0])
        return ONE, reshape(self.gain, shape), reshape(self.bias, shape)


class GlobalNorm(Norm):
    """gLN: mean and variance over all frames and channels of a mixture (paper, equations 10 and 11)."""

    def __init__(self, channels):
        super().__init__(channels)
        self.statistics = GlobalStatistics()

    def construct(self, x, frame_mask, utterances=None):
        if utterances is not None:
            return self.normalize_each(x, utterances), *self.affine()
        mean, deviation = self.statistics(x, frame_mask)  # [M, 1, 1]
        _, gain, bias = self.affine()
        return x, deviation, gain, bias - mean * deviation * gain

    def normalize_each(self, x, utterances):
        """Normalise each utterance of a row by itself; zeros between them: [M, K, channels]."""
        share = utterances / (maximum(sum_over(utterances, 2), 1.0) * x.shape[2])  # [M, U, K]
        centred = x - spread(utterances, ops.matmul(share, sum_over(x, 2)))  # [M, K, channels]
        variance = ops.matmul(share, sum_over(square(centred), 2))  # [M, U, 1]
        return centred * spread(utterances, reciprocal_deviation(variance, EPSILON))


class GlobalStatistics(nn.Cell):
    """Mean and reciprocal deviation [M, 1, 1] of all true frames and channels of x [M, K, channels]."""

    def construct(self, x, frame_mask):
        # Two passes, since one loses digits where the mean is large; each over the channels first, for the same reason
        # and so that the mask has only M * K numbers to multiply.
        share = self.share(x, frame_mask)
        mean = sum_over(sum_over(x, 2) * share, 1)
        variance = sum_over(sum_over(square(x - mean), 2) * share, 1)
        return mean, reciprocal_deviation(variance, EPSILON)

    def share(self, x, frame_mask):
        """What a number in each frame counts in the mean, 0 after the end: [M, K, 1]."""
        return frame_mask * power(maximum(sum_over(frame_mask, 1), 1.0) * x.shape[2], -1.0)

    def bprop(self, x, frame_mask, out, dout):
        (mean, deviation), (dmean, ddeviation) = out, dout
        # A power here would be worked out for every number of x, in the kernel that this becomes a part of.
        through_variance = deviation * deviation * deviation * ddeviation  # [M, 1, 1]
        dx = (dmean - through_variance * (x - mean)) * self.share(x, frame_mask)
        return dx, ops.zeros_like(frame_mask)


def spread(utterances, values):
    """A value for each utterance [M, U, 1] to all its frames, 0 to the others: [M, K, 1]."""
    return product_over_frames(utterances, values)


def channel_mean(x):
    """[M, K, channels] -> [M, K, 1]. MindSpore's ReduceMean is a kernel of its own, and takes 20 times as long."""
    return sum_over(x, 2) * (1.0 / x.shape[2])


class FrameNorm(Norm):
    """cLN: mean and variance over the channels of each frame."""

    def __init__(self, channels):
        super().__init__(channels)
        self.normalize = FrameNormalization()

    def construct(self, x, frame_mask, utterances=None):
        return self.normalize(x)[0], *self.affine()


class FrameNormalization(nn.Cell):
    """Each frame of x [M, K, channels] less its mean, over its deviation; also the reciprocal deviation [M, K, 1]."""

    def construct(self, x):
        mean = channel_mean(x)
        variance = channel_mean(square(x - mean))
        deviation = reciprocal_deviation(variance, EPSILON)
        return (x - mean) * deviation, deviation

    def bprop(self, x, out, dout):
        (y, deviation), dy = out, dout[0]
        return (deviation * (dy - channel_mean(dy) - y * channel_mean(dy * y)),)


class CumulativeNorm(Norm):
    """cgLN: mean and variance over the channels of a frame and all frames before it (paper, equations 8 and 9)."""

    def construct(self, x, frame_mask, utterances=None):
        M, K, channels = x.shape
        if utterances is None:
            utterances = frame_mask.reshape(M, 1, K)
        # The variance is a difference of sums; taking the first frame's mean off keeps its digits.
        x = x - spread(utterances, ops.matmul(first_frames(utterances), channel_mean(x)))
        count = maximum(running_sum(frame_mask.reshape(M, K), utterances), 1.0) * channels  # [M, K]
        mean = running_sum(sum_away(x, 2), utterances) / count  # [M, K]
        variance = ops.maximum(running_sum(sum_away(square(x), 2), utterances) / count - mean.square(), 0.0)
        mean, variance = mean.reshape(M, K, 1), variance.reshape(M, K, 1)
        return (x - mean) * reciprocal_deviation(variance, EPSILON) * frame_mask, *self.affine()


def running_sum(frames, utterances):
    """Sums over the frames so far of the utterance that each frame is of: [M, K] and [M, U, K] -> [M, K]."""
    return (ops.cumsum(frames.expand_dims(1) * utterances, 2) * utterances).sum(1)


def first_frames(utterances):
    """1 at the first frame of each utterance: [M, U, K] -> [M, U, K]."""
    return utterances * (ops.cumsum(utterances, 2) < 1.5).astype(ms.float32)


class BatchNorm(Norm):
    """BN: mean and variance of each channel over the batch's frames; once trained, their running averages."""

    def __init__(self, channels):
        super().__init__(channels)
        zeros, ones = np.zeros(channels, np.float32), np.ones(channels, np.float32)
        self.running_mean = Parameter(Tensor(zeros), name="running_mean", requires_grad=False)
        self.running_variance = Parameter(Tensor(ones), name="running_variance", requires_grad=False)

    def construct(self, x, frame_mask, utterances=None):
        if self.training:
            mean, variance = self.batch_statistics(x, frame_mask)
        else:
            mean, variance = self.running_mean, self.running_variance
        one, gain, bias = self.affine()
        gain = gain * reciprocal_deviation(variance, BATCH_NORM_EPSILON)  # [1, 1, channels]
        return x, one, gain, bias - mean * gain

    def batch_statistics(self, x, frame_mask):
        """Mean and variance [channels] of this batch, which the running averages move a tenth of the way to."""
        count = ops.maximum(frame_mask.sum(), 1.0)
        mean = (x * frame_mask).sum((0, 1)) / count
        variance = ((x - mean).square() * frame_mask).sum((0, 1)) / count
        unbiased = variance * count / ops.maximum(count - 1.0, 1.0)
        ops.assign(self.running_mean, 0.9 * self.running_mean + 0.1 * ops.stop_gradient(mean))
        ops.assign(self.running_variance, 0.9 * self.running_variance + 0.1 * ops.stop_gradient(unbiased))
        return mean, variance


NORMS = {"gLN": GlobalNorm, "cLN": FrameNorm, "cgLN": CumulativeNorm, "BN": BatchNorm}


def reciprocal_deviation(variance, epsilon):
    """1 / sqrt(variance + epsilon), as the power that ONNX has: MindSpore exports neither its Rsqrt nor Reciprocal."""
    return power(variance + epsilon, -0.5)


def uniform(random, shape, fan_in):
    """Initial weights, uniform within 1 / sqrt(fan_in), as PyTorch initialises its convolutions."""
    bound = 1 / math.sqrt(fan_in)
    return Tensor(random.uniform(-bound, bound, shape).astype(np.float32))
