"""The norms of the separator, on features laid out [M, K, channels], in the form that layers.py takes them.

The layer norms are the paper's: gLN, cLN, and cgLN, which the paper calls cLN. BN is batch normalisation.
"""

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from network import operators as op
from network.options import BATCH_NORM_EPSILON, EPSILON

ONE = Tensor(np.ones((1, 1, 1), np.float32))


class Norm(nn.Cell):
    """What the norms share: a gain and a bias for each channel.

    A norm takes x [M, K, channels], zero after a mixture's end, and the frame mask [M, K, 1], 1 at a mixture's true
    frames and 0 after them, which count for nothing. It returns y [M, K, channels], zero after the end too, level
    [M or 1, 1, 1], gain [1, 1, channels] and shift [M or 1, 1, channels]: at true frames the normalised x is
    y * level * gain + shift.

    Where a row holds U mixtures one after another, `mixture_masks` [M, U, K] is 1 at the frames of each, and the frame
    mask at those of all.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.gain = Parameter(Tensor(np.ones(channels, np.float32)), name="gain")
        self.bias = Parameter(Tensor(np.zeros(channels, np.float32)), name="bias")

    def affine(self) -> tuple[Tensor, Tensor, Tensor]:
        """Level 1, and gain and bias, [1, 1, channels]."""
        shape = (1, 1, self.gain.shape[0])
        return ONE, op.reshape(self.gain, shape), op.reshape(self.bias, shape)


class GlobalNorm(Norm):
    """gLN: mean and variance over all frames and channels of a mixture (paper, equations 10 and 11)."""

    def __init__(self, channels: int):
        super().__init__(channels)
        self.statistics = GlobalStatistics()

    def construct(self, x, frame_mask, mixture_masks=None):
        if mixture_masks is not None:
            return self.normalize_each(x, mixture_masks), *self.affine()
        mean, deviation = self.statistics(x, frame_mask)  # [M, 1, 1]
        _, gain, bias = self.affine()
        return x, deviation, gain, bias - mean * deviation * gain

    def normalize_each(self, x: Tensor, mixture_masks: Tensor) -> Tensor:
        """Normalise each mixture of a row by itself; zeros between them: [M, K, channels]."""
        share = mixture_masks / (op.maximum(op.sum_over(mixture_masks, 2), 1.0) * x.shape[2])  # [M, U, K]
        centred = x - to_frames(mixture_masks, ops.matmul(share, op.sum_over(x, 2)))  # [M, K, channels]
        variance = ops.matmul(share, op.sum_over(op.square(centred), 2))  # [M, U, 1]
        return centred * to_frames(mixture_masks, reciprocal_deviation(variance, EPSILON))


class GlobalStatistics(nn.Cell):
    """Mean and reciprocal deviation [M, 1, 1] of all true frames and channels of x [M, K, channels]."""

    def construct(self, x, frame_mask):
        # Two passes, since one loses digits where the mean is large; each over the channels first, for the same reason
        # and so that the mask has only M * K numbers to multiply.
        share = self.share(x, frame_mask)
        mean = op.sum_over(op.sum_over(x, 2) * share, 1)
        variance = op.sum_over(op.sum_over(op.square(x - mean), 2) * share, 1)
        return mean, reciprocal_deviation(variance, EPSILON)

    def share(self, x: Tensor, frame_mask: Tensor) -> Tensor:
        """The weight of a frame's numbers in the mean, 0 after the end: [M, K, 1]."""
        return frame_mask * op.power(op.maximum(op.sum_over(frame_mask, 1), 1.0) * x.shape[2], -1.0)

    def bprop(self, x, frame_mask, out, dout):
        (mean, deviation), (dmean, ddeviation) = out, dout
        # A power here would be worked out for every number of x, in the kernel that this becomes a part of.
        through_variance = deviation * deviation * deviation * ddeviation  # [M, 1, 1]
        dx = (dmean - through_variance * (x - mean)) * self.share(x, frame_mask)
        return dx, ops.zeros_like(frame_mask)


def to_frames(mixture_masks: Tensor, values: Tensor) -> Tensor:
    """Give each mixture's value [M, U, 1] to all its frames, and 0 to the frames of none: [M, K, 1]."""
    return op.product_over_frames(mixture_masks, values)


def channel_mean(x: Tensor) -> Tensor:
    """[M, K, channels] -> [M, K, 1]. MindSpore's ReduceMean is a kernel of its own, and takes 20 times as long."""
    return op.sum_over(x, 2) * (1.0 / x.shape[2])


class FrameNorm(Norm):
    """cLN: mean and variance over the channels of each frame."""

    def __init__(self, channels: int):
        super().__init__(channels)
        self.normalize = FrameNormalization()

    def construct(self, x, frame_mask, mixture_masks=None):
        return self.normalize(x)[0], *self.affine()


class FrameNormalization(nn.Cell):
    """Each frame of x [M, K, channels] less its mean, over its deviation; also the reciprocal deviation [M, K, 1]."""

    def construct(self, x):
        mean = channel_mean(x)
        variance = channel_mean(op.square(x - mean))
        deviation = reciprocal_deviation(variance, EPSILON)
        return (x - mean) * deviation, deviation

    def bprop(self, x, out, dout):
        (y, deviation), dy = out, dout[0]
        return (deviation * (dy - channel_mean(dy) - y * channel_mean(dy * y)),)


class CumulativeNorm(Norm):
    """cgLN: mean and variance over the channels of a frame and all frames before it (paper, equations 8 and 9)."""

    def construct(self, x, frame_mask, mixture_masks=None):
        M, K, channels = x.shape
        if mixture_masks is None:
            mixture_masks = frame_mask.reshape(M, 1, K)
        # The variance is a difference of sums; taking the first frame's mean off keeps its digits.
        x = x - to_frames(mixture_masks, ops.matmul(first_frames(mixture_masks), channel_mean(x)))
        count = op.maximum(running_sum(frame_mask.reshape(M, K), mixture_masks), 1.0) * channels  # [M, K]
        mean = running_sum(op.sum_away(x, 2), mixture_masks) / count  # [M, K]
        variance = op.maximum(running_sum(op.sum_away(op.square(x), 2), mixture_masks) / count - mean.square(), 0.0)
        mean, variance = mean.reshape(M, K, 1), variance.reshape(M, K, 1)
        return (x - mean) * reciprocal_deviation(variance, EPSILON) * frame_mask, *self.affine()


def running_sum(frames: Tensor, mixture_masks: Tensor) -> Tensor:
    """Sums over the frames so far of each frame's own mixture: [M, K] and [M, U, K] -> [M, K]."""
    return (ops.cumsum(frames.expand_dims(1) * mixture_masks, 2) * mixture_masks).sum(1)


def first_frames(mixture_masks: Tensor) -> Tensor:
    """1 at the first frame of each mixture: [M, U, K] -> [M, U, K]."""
    return mixture_masks * (ops.cumsum(mixture_masks, 2) < 1.5).astype(ms.float32)


class BatchNorm(Norm):
    """BN: mean and variance of each channel over the batch's frames; once trained, their running averages."""

    def __init__(self, channels: int):
        super().__init__(channels)
        zeros, ones = np.zeros(channels, np.float32), np.ones(channels, np.float32)
        self.running_mean = Parameter(Tensor(zeros), name="running_mean", requires_grad=False)
        self.running_variance = Parameter(Tensor(ones), name="running_variance", requires_grad=False)

    def construct(self, x, frame_mask, mixture_masks=None):
        if self.training:
            mean, variance = self.batch_statistics(x, frame_mask)
        else:
            mean, variance = self.running_mean, self.running_variance
        one, gain, bias = self.affine()
        gain = gain * reciprocal_deviation(variance, BATCH_NORM_EPSILON)  # [1, 1, channels]
        return x, one, gain, bias - mean * gain

    def batch_statistics(self, x: Tensor, frame_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance [channels] of this batch, which the running averages move a tenth of the way to."""
        count = op.maximum(frame_mask.sum(), 1.0)
        mean = (x * frame_mask).sum((0, 1)) / count
        variance = ((x - mean).square() * frame_mask).sum((0, 1)) / count
        unbiased = variance * count / op.maximum(count - 1.0, 1.0)
        ops.assign(self.running_mean, 0.9 * self.running_mean + 0.1 * ops.stop_gradient(mean))
        ops.assign(self.running_variance, 0.9 * self.running_variance + 0.1 * ops.stop_gradient(unbiased))
        return mean, variance


NORMS = {"gLN": GlobalNorm, "cLN": FrameNorm, "cgLN": CumulativeNorm, "BN": BatchNorm}


def reciprocal_deviation(variance: Tensor, epsilon: float) -> Tensor:
    """1 / sqrt(variance + epsilon), as the power that ONNX has: MindSpore exports neither its Rsqrt nor Reciprocal."""
    return op.power(variance + epsilon, -0.5)
