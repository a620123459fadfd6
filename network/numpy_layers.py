"""What in_numpy.py builds the network of: convolutions of one frame, norms, activations; parts of frames in threads.

Features are laid out [K, channels], of one mixture. A gain and shift that a norm would multiply its features by are
worked into the weights of the convolution that follows.
"""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cache

import numpy as np
from threadpoolctl import ThreadpoolController

from network.options import BATCH_NORM_EPSILON, EPSILON

FRAMES_AT_ONCE = 256  # a part; of a stream as well, where more come at once
Weights = Mapping[str, np.ndarray]


class Pointwise:
    """1x1 convolution: [K, inputs] -> [K, outputs]."""

    def __init__(self, weight: np.ndarray, bias: np.ndarray | None = None):
        self.weight, self.bias = np.ascontiguousarray(weight), bias  # [inputs, outputs], [outputs]

    @classmethod
    def of(cls, weights: Weights) -> "Pointwise":
        """That of a checkpoint."""
        return cls(weights["weight"].T, weights.get("bias"))

    def after(self, gain: np.ndarray, shift: np.ndarray) -> "Pointwise":
        """The convolution of x * gain + shift, as one of x."""
        bias = shift @ self.weight
        return Pointwise(gain[:, np.newaxis] * self.weight, bias if self.bias is None else bias + self.bias)

    def __call__(self, x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        y = np.matmul(x, self.weight, out=out)
        return y if self.bias is None else np.add(y, self.bias, out=y)

    def of_whole(self, x: np.ndarray, plus: np.ndarray | None = None) -> np.ndarray:
        """Of all frames of a mixture, and `plus` [K, outputs] added."""
        y = np.empty((len(x), self.weight.shape[1]), np.float32)

        def fill(rows: slice) -> None:
            product = self(x[rows], y[rows])
            if plus is not None:
                product += plus[rows]

        in_parts(len(x), fill)
        return y


class FrameNorm:
    """norms.FrameNorm, cLN: [K, channels] -> y, of which y * gain + shift is the normalised x."""

    def __init__(self, weights: Weights):
        self.gain, self.shift = weights["gain"], weights["bias"]

    def of_whole(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of all frames of a mixture [K, channels]: y, gain and shift [channels]."""
        y = x.copy()
        return y, *self.of_parts(y, lambda rows: y[rows])

    def of_parts(self, y: np.ndarray, make: Callable[[slice], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The same where `make` puts x into y [K, channels], some frames at a time: normalises y, gives gain, shift."""

        def fill(rows: slice) -> None:
            y[rows] = self(make(rows))

        in_parts(len(y), fill)
        return self.gain, self.shift

    def reset(self) -> None:
        """Begin a stream; there is no past."""

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The next frames of a stream."""
        centred = x - x.mean(1, keepdims=True)
        variance = np.einsum("kh,kh->k", centred, centred) / x.shape[1]
        return centred * ((variance + EPSILON) ** -0.5)[:, np.newaxis]


class CumulativeNorm(FrameNorm):
    """norms.CumulativeNorm, cgLN; the sums over the frames so far have 64 bits, so that they may grow."""

    def of_parts(self, y: np.ndarray, make: Callable[[slice], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        in_parts(len(y), make)
        self.reset()
        for start in range(0, len(y), FRAMES_AT_ONCE):
            y[start : start + FRAMES_AT_ONCE] = self(y[start : start + FRAMES_AT_ONCE])
        return self.gain, self.shift

    def reset(self) -> None:
        self.count = self.total = self.squares = 0.0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        K, channels = x.shape
        count = self.count + channels * np.arange(1, K + 1)
        total = self.total + np.cumsum(x.sum(1, dtype=np.float64))
        squares = self.squares + np.cumsum(np.einsum("kh,kh->k", x, x, dtype=np.float64))
        self.count, self.total, self.squares = count[-1], total[-1], squares[-1]
        mean = total / count
        deviation = (np.maximum(squares / count - mean**2, 0) + EPSILON) ** -0.5
        return (x - mean.astype(np.float32)[:, np.newaxis]) * deviation.astype(np.float32)[:, np.newaxis]


class BatchNorm(FrameNorm):
    """norms.BatchNorm, BN, in a trained network: mean and deviation are in gain and shift."""

    def __init__(self, weights: Weights):
        self.gain = weights["gain"] / np.sqrt(weights["running_variance"] + np.float32(BATCH_NORM_EPSILON))
        self.shift = weights["bias"] - weights["running_mean"] * self.gain

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return x


class GlobalNorm(FrameNorm):
    """norms.GlobalNorm, gLN: of whole mixtures alone."""

    def of_parts(self, y: np.ndarray, make: Callable[[slice], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        sums = np.empty((2, len(y)), np.float32)  # of each frame, and of its squares
        ones = np.ones(y.shape[1], np.float32)

        def measure(rows: slice) -> None:
            part = make(rows)
            np.matmul(part, ones, out=sums[0, rows])
            np.einsum("kh,kh->k", part, part, out=sums[1, rows])

        in_parts(len(y), measure)
        mean, square = sums.sum(1, dtype=np.float64) / y.size
        variance = square - mean**2
        if variance < 1e-3 * square:  # a difference of alike numbers, of which few digits are left
            variance = np.square(y - mean).mean()
        gain = self.gain * np.float32((variance + EPSILON) ** -0.5)
        return gain, self.shift - np.float32(mean) * gain


NORMS = {"gLN": GlobalNorm, "cLN": FrameNorm, "cgLN": CumulativeNorm, "BN": BatchNorm}


def relu(masks: np.ndarray) -> np.ndarray:
    """Of masks [K, C, N]; they are overwritten."""
    return np.maximum(masks, 0, out=masks)


def sigmoid(masks: np.ndarray) -> np.ndarray:
    """Of masks [K, C, N]."""
    from scipy.special import expit  # half a second, for what few networks have

    return expit(masks)


def softmax(masks: np.ndarray) -> np.ndarray:
    """Of masks [K, C, N], adding up to 1 over C."""
    import scipy.special  # as above

    return scipy.special.softmax(masks, 1)


NONLINEAR = {"relu": relu, "sigmoid": sigmoid, "softmax": softmax}


def prelu(x: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """x where positive, slope * x elsewhere; x is overwritten."""
    return (np.maximum if slope[0] <= 1 else np.minimum)(x, slope * x, out=x)


def in_parts(K: int, fill: Callable[[slice], object]) -> None:
    """Have `fill` see to all K frames, in parts, by several threads."""
    parts = [slice(start, min(start + FRAMES_AT_ONCE, K)) for start in range(0, K, FRAMES_AT_ONCE)]
    if len(parts) == 1:
        fill(parts[0])
    else:
        list(_threads().map(fill, parts))


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())


def one_thread_a_product() -> AbstractContextManager:
    """Meanwhile numpy computes a matrix product in the thread that asks for it; the parts keep all cores busy."""
    return _libraries().limit(limits=1, user_api="blas")


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()
