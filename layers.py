"""The pieces of a convolutional block, on features laid out [M, K, channels].

With channels innermost a 1x1 convolution is one matrix product and a shift in time is a slice of whole rows; the
plain layout [M, channels, K] costs 25 times as much on a CPU, where MindSpore's one-dimensional convolutions fall
back to reference loops.
"""

import math

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

# Operators as objects, where functions and methods of tensors would read better: MindSpore works out the types of a
# function's body anew wherever it is called, which is most of the time that a network takes to compile.
reshape, cast, square, power, relu, negate = ops.Reshape(), ops.Cast(), ops.Square(), ops.Pow(), ops.ReLU(), ops.Neg()
sum_over, mean_over = ops.ReduceSum(keep_dims=True), ops.ReduceMean(keep_dims=True)
sum_away = ops.ReduceSum(keep_dims=False)
zeros, join_frames, cut, stack_rows = ops.Zeros(), ops.Concat(1), ops.Slice(), ops.Stack(0)

EPSILON = 1e-8  # of the layer norms, as in the paper's code and the three ports
BATCH_NORM_EPSILON = 1e-5


class PointwiseConv(nn.Cell):
    """1x1 convolution: [M, K, inputs] -> [M, K, outputs]."""

    def __init__(self, inputs, outputs, bias, random):
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.weight = Parameter(uniform(random, (outputs, inputs), inputs), name="weight")
        self.bias = Parameter(uniform(random, (outputs,), inputs), name="bias") if bias else None
        self.product = ops.MatMul(transpose_b=True)
        self.add_bias = ops.BiasAdd()

    def construct(self, x):
        M, K, _ = x.shape
        x = self.product(reshape(x, (M * K, self.inputs)), self.weight)  # [M * K, outputs]
        if self.bias is not None:
            x = self.add_bias(x, self.bias)
        return reshape(x, (M, K, self.outputs))


class DepthwiseConv(nn.Cell):
    """Dilated convolution of each channel on its own, zeros beyond either end: [M, K, H] -> [M, K, H]."""

    def __init__(self, H, P, dilation, causal, bias, random):
        super().__init__()
        self.weight = Parameter(uniform(random, (P, H), P), name="weight")
        self.bias = Parameter(uniform(random, (H,), P), name="bias") if bias else None
        reach = (P - 1) * dilation
        self.taps = Taps(P, dilation, reach if causal else reach // 2)

    def construct(self, x):
        y = self.taps(x, self.weight)
        return y if self.bias is None else y + self.bias


class Taps(nn.Cell):
    """Sum of P shifts of x, `dilation` frames apart, each times its weights; the first reaches `past` frames back.

    Its gradient is written out: the one that MindSpore derives pads and adds a tensor for each slice, and takes
    twice as long.
    """

    def __init__(self, P, dilation, past):
        super().__init__()
        self.P, self.dilation, self.past, self.future = P, dilation, past, (P - 1) * dilation - past

    def construct(self, x, weight):
        """[M, K, H] and [P, H] -> [M, K, H]."""
        shifts, taps = self.shifts(x, self.past, self.future), self.taps(weight)
        total = taps[0] * shifts[0]
        for p in range(1, self.P):
            total = total + taps[p] * shifts[p]
        return total

    def taps(self, weight):
        """[P, H] -> P times [1, H]."""
        return [cut(weight, (p, 0), (1, weight.shape[1])) for p in range(self.P)]

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

    def bprop(self, x, weight, out, dout):
        # Towards x the convolution runs backwards in time: the taps in reverse, past and future exchanged.
        returning, taps = self.shifts(dout, self.future, self.past), self.taps(weight)
        dx = taps[0] * returning[self.P - 1]
        for p in range(1, self.P):
            dx = dx + taps[p] * returning[self.P - 1 - p]
        shifts = self.shifts(x, self.past, self.future)
        dtaps = [sum_away(sum_away(dout * shifts[p], 1), 0) for p in range(self.P)]
        return dx, stack_rows(dtaps)


class PReLU(nn.Cell):
    """x where positive, slope * x elsewhere; one slope for all channels (paper, equation 6)."""

    def __init__(self):
        super().__init__()
        self.slope = Parameter(Tensor([0.25], ms.float32), name="slope")
        self.rectify = LeakyRectifier()

    def construct(self, x):
        return self.rectify(x, self.slope)


class LeakyRectifier(nn.Cell):
    """PReLU of x [M, K, channels] and its slope [1], by operators that fuse.

    Its gradient is written out: half the time, and the slope's is summed in stages, which keeps its digits.
    """

    def construct(self, x, slope):
        return relu(x) - slope * relu(negate(x))

    def bprop(self, x, slope, out, dout):
        negative = cast(x < 0, ms.float32)
        dx = dout * (1 + (slope - 1) * negative)
        dslope = reshape(sum_away(sum_away(dout * x * negative, 2)), (1,))
        return dx, dslope


class Norm(nn.Cell):
    """What the norms share: a gain and a bias for each channel.

    A norm takes x [M, K, channels] and the frame mask [M, K, 1], 1 at a mixture's true frames and 0 after them. The
    frames after count for nothing and come back as zeros, which is what a convolution over time must meet there.
    """

    def __init__(self, channels):
        super().__init__()
        self.gain = Parameter(Tensor(np.ones(channels, np.float32)), name="gain")
        self.bias = Parameter(Tensor(np.zeros(channels, np.float32)), name="bias")


class GlobalNorm(Norm):
    """gLN: mean and variance over all frames and channels of a mixture (paper, equations 10 and 11)."""

    def __init__(self, channels):
        super().__init__(channels)
        self.normalize = GlobalNormalization()

    def construct(self, x, frame_mask):
        return self.normalize(x, frame_mask, self.gain, self.bias)[0]


class GlobalNormalization(nn.Cell):
    """gLN of x [M, K, channels]; also returns the mean and the reciprocal deviation [M, 1, 1], which its gradient uses.

    Its gradient is written out, in two passes over x instead of a dozen.
    """

    def construct(self, x, frame_mask, gain, bias):
        # Two passes, since one loses digits where the mean is large; each over the channels first, for the same reason
        # and so that the mask has only M * K numbers to multiply.
        count = self.count(x, frame_mask)
        mean = self.total(sum_over(x, 2) * frame_mask) / count
        variance = self.total(sum_over(square(x - mean), 2) * frame_mask) / count
        deviation = reciprocal_deviation(variance, EPSILON)
        scale = gain * deviation  # [M, 1, channels]
        return (x * scale + (bias - mean * scale)) * frame_mask, mean, deviation

    def count(self, x, frame_mask):
        """Numbers that are averaged over, at least one: [M, 1, 1]."""
        return ops.maximum(self.total(frame_mask), 1.0) * x.shape[2]

    def total(self, frames):
        """Sum over time: [M, K, 1] -> [M, 1, 1]."""
        return sum_over(frames, 1)

    def bprop(self, x, frame_mask, gain, bias, out, dout):
        _, mean, deviation = out
        dy = dout[0] * frame_mask
        sums = sum_over(dy, 1)  # [M, 1, channels]
        products = sum_over(dy * (x - mean), 1) * deviation  # [M, 1, channels]
        count = self.count(x, frame_mask)
        # What all of x changes through the mean, and through the variance.
        through_mean = sum_over(gain * sums, 2) / count  # [M, 1, 1]
        through_variance = sum_over(gain * products, 2) / count * deviation
        dx = deviation * (dy * gain - (through_mean + through_variance * (x - mean)) * frame_mask)
        return dx, ops.zeros_like(frame_mask), sum_away(products, (0, 1)), sum_away(sums, (0, 1))


class FrameNorm(Norm):
    """cLN: mean and variance over the channels of each frame."""

    def __init__(self, channels):
        super().__init__(channels)
        self.normalize = FrameNormalization()

    def construct(self, x, frame_mask):
        return self.normalize(x, self.gain, self.bias)[0] * frame_mask


class FrameNormalization(nn.Cell):
    """cLN of x [M, K, channels]; also returns the mean and the reciprocal deviation [M, K, 1], which its gradient uses.

    Its gradient is written out, in two passes over x, as that of gLN.
    """

    def construct(self, x, gain, bias):
        mean = mean_over(x, 2)
        variance = mean_over(square(x - mean), 2)
        deviation = reciprocal_deviation(variance, EPSILON)
        return (x - mean) * deviation * gain + bias, mean, deviation

    def bprop(self, x, gain, bias, out, dout):
        _, mean, deviation = out
        dy = dout[0]
        normal = (x - mean) * deviation
        scaled = dy * gain
        through_mean = mean_over(scaled, 2)  # [M, K, 1]
        through_variance = mean_over(scaled * normal, 2)
        dx = deviation * (scaled - through_mean - normal * through_variance)
        return dx, sum_away(sum_away(dy * normal, 1), 0), sum_away(sum_away(dy, 1), 0)


class CumulativeNorm(Norm):
    """cgLN: mean and variance over the channels of a frame and all frames before it (paper, equations 8 and 9)."""

    def construct(self, x, frame_mask):
        M, K, channels = x.shape
        # The variance is a difference of sums; taking the first frame's mean off keeps its digits.
        x = x - x[:, :1].mean(2, keep_dims=True)
        count = ops.arange(1.0, K + 1) * channels  # [K]
        mean = ops.cumsum(x.sum(2), 1) / count  # [M, K]
        variance = ops.maximum(ops.cumsum(x.square().sum(2), 1) / count - mean.square(), 0.0)
        mean, variance = mean.reshape(M, K, 1), variance.reshape(M, K, 1)
        return ((x - mean) * reciprocal_deviation(variance, EPSILON) * self.gain + self.bias) * frame_mask


class BatchNorm(Norm):
    """BN: mean and variance of each channel over the batch's frames; once trained, their running averages."""

    def __init__(self, channels):
        super().__init__(channels)
        zeros, ones = np.zeros(channels, np.float32), np.ones(channels, np.float32)
        self.running_mean = Parameter(Tensor(zeros), name="running_mean", requires_grad=False)
        self.running_variance = Parameter(Tensor(ones), name="running_variance", requires_grad=False)

    def construct(self, x, frame_mask):
        if self.training:
            mean, variance = self.batch_statistics(x, frame_mask)
        else:
            mean, variance = self.running_mean, self.running_variance
        scale = self.gain * reciprocal_deviation(variance, BATCH_NORM_EPSILON)  # [channels]
        return (x * scale + (self.bias - mean * scale)) * frame_mask

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
