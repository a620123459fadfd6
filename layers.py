"""The pieces of a convolutional block, on features laid out [M, K, channels].

With channels innermost a 1x1 convolution is one matrix product and a shift in time is a slice of whole rows; the
plain layout [M, channels, K] costs 25 times as much on a CPU, where MindSpore's one-dimensional convolutions fall
back to reference loops.
"""

import math

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

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
        x = self.product(x.reshape(M * K, self.inputs), self.weight)  # [M * K, outputs]
        if self.bias is not None:
            x = self.add_bias(x, self.bias)
        return x.reshape(M, K, self.outputs)


class DepthwiseConv(nn.Cell):
    """Dilated convolution of each channel on its own, zeros beyond either end: [M, K, H] -> [M, K, H]."""

    def __init__(self, H, P, dilation, causal, bias, random):
        super().__init__()
        self.P, self.dilation = P, dilation
        self.before = (P - 1) * dilation if causal else (P - 1) * dilation // 2
        self.after = (P - 1) * dilation - self.before
        self.weight = Parameter(uniform(random, (P, H), P), name="weight")
        self.bias = Parameter(uniform(random, (H,), P), name="bias") if bias else None

    def construct(self, x):
        M, K, H = x.shape
        x = pad_frames(x, self.before, self.after)  # [M, K + (P - 1) * dilation, H]
        total = self.weight[0] * x[:, :K]
        for p in range(1, self.P):
            total = total + self.weight[p] * x[:, p * self.dilation : p * self.dilation + K]
        if self.bias is not None:
            total = total + self.bias
        return total


class PReLU(nn.Cell):
    """x where positive, slope * x elsewhere; one slope for all channels."""

    def __init__(self):
        super().__init__()
        self.slope = Parameter(Tensor([0.25], ms.float32), name="slope")

    def construct(self, x):
        return ops.relu(x) - self.slope * ops.relu(-x)


class GlobalNorm(nn.Cell):
    """gLN: mean and variance over all true frames and channels of a mixture (paper, section 2.C.2)."""

    def __init__(self, channels):
        super().__init__()
        self.gain = Parameter(Tensor(np.ones(channels, np.float32)), name="gain")
        self.bias = Parameter(Tensor(np.zeros(channels, np.float32)), name="bias")

    def construct(self, x, frame_mask):
        M, K, channels = x.shape
        mask = frame_mask.reshape(M, K)
        count = ops.maximum(mask.sum(1), 1.0) * channels  # [M]
        # Two passes, each over channels first: one pass loses digits where the mean is large.
        mean = ((x.sum(2) * mask).sum(1) / count).reshape(M, 1, 1)
        variance = (((x - mean).square().sum(2) * mask).sum(1) / count).reshape(M, 1, 1)
        scale = self.gain * ops.rsqrt(variance + EPSILON)  # [M, 1, channels]
        return x * scale + (self.bias - mean * scale)


class FrameNorm(nn.Cell):
    """cLN: mean and variance over the channels of each frame."""

    def __init__(self, channels):
        super().__init__()
        self.gain = Parameter(Tensor(np.ones(channels, np.float32)), name="gain")
        self.bias = Parameter(Tensor(np.zeros(channels, np.float32)), name="bias")

    def construct(self, x, frame_mask):
        x = x - x.mean(2, keep_dims=True)
        variance = x.square().mean(2, keep_dims=True)  # [M, K, 1]
        return x * ops.rsqrt(variance + EPSILON) * self.gain + self.bias


class CumulativeNorm(nn.Cell):
    """cgLN: mean and variance over the channels of a frame and all frames before it (paper, equations 8 and 9)."""

    def __init__(self, channels):
        super().__init__()
        self.gain = Parameter(Tensor(np.ones(channels, np.float32)), name="gain")
        self.bias = Parameter(Tensor(np.zeros(channels, np.float32)), name="bias")

    def construct(self, x, frame_mask):
        M, K, channels = x.shape
        # The variance is a difference of sums; taking the first frame's mean off keeps its digits.
        x = x - x[:, :1].mean(2, keep_dims=True)
        count = ops.arange(1, K + 1).astype(ms.float32) * channels  # [K]
        mean = ops.cumsum(x.sum(2), 1) / count  # [M, K]
        variance = ops.maximum(ops.cumsum(x.square().sum(2), 1) / count - mean.square(), 0.0)
        mean, variance = mean.reshape(M, K, 1), variance.reshape(M, K, 1)
        return (x - mean) * ops.rsqrt(variance + EPSILON) * self.gain + self.bias


class BatchNorm(nn.Cell):
    """BN: mean and variance of each channel over the batch's true frames; their running averages once trained."""

    def __init__(self, channels):
        super().__init__()
        self.gain = Parameter(Tensor(np.ones(channels, np.float32)), name="gain")
        self.bias = Parameter(Tensor(np.zeros(channels, np.float32)), name="bias")
        self.running_mean = Parameter(Tensor(np.zeros(channels, np.float32)), name="running_mean", requires_grad=False)
        self.running_variance = Parameter(
            Tensor(np.ones(channels, np.float32)), name="running_variance", requires_grad=False
        )

    def construct(self, x, frame_mask):
        if self.training:
            mean, variance = self.batch_statistics(x, frame_mask)
        else:
            mean, variance = self.running_mean, self.running_variance
        scale = self.gain * ops.rsqrt(variance + BATCH_NORM_EPSILON)  # [channels]
        return x * scale + (self.bias - mean * scale)

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


def pad_frames(x, before, after):
    """Zero frames before and after: [M, K, channels] -> [M, before + K + after, channels]."""
    M, _, channels = x.shape
    parts = [x]
    if before > 0:
        parts = [ops.zeros((M, before, channels), x.dtype), *parts]
    if after > 0:
        parts = [*parts, ops.zeros((M, after, channels), x.dtype)]
    return ops.cat(parts, 1) if len(parts) > 1 else x


def uniform(random, shape, fan_in):
    """Initial weights, uniform within 1 / sqrt(fan_in), as PyTorch initialises its convolutions."""
    bound = 1 / math.sqrt(fan_in)
    return Tensor(random.uniform(-bound, bound, shape).astype(np.float32))
