"""The trained network in plain numpy: what separates recordings on a CPU, whole (`NumpyNetwork`) or as they come.

In graph mode MindSpore compiles for seconds before the first sound, and anew for each length; this begins at once, and
is as fast. model.py is the reference that the tests hold it to. Features are laid out [K, channels], of one mixture.

What stands between two matrix products is done in parts of some frames, which stay in the processor's cache, and in as
many threads as there are cores: numpy leaves the interpreter to others while it computes.

A gain and shift that a norm would multiply its features by are worked into the weights of the convolution that follows.
"""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import ThreadpoolController

from network.checkpoint import read_checkpoint
from network.options import BATCH_NORM_EPSILON, EPSILON, NetworkOptions, frame_count

if TYPE_CHECKING:
    from model import ConvTasNet  # brings MindSpore

FRAMES_AT_ONCE = 256  # a part; of a stream as well, where more come at once
Weights = Mapping[str, np.ndarray]


class NumpyNetwork:
    """A trained network, which separates mixtures one by one.

    Args:
        options: NetworkOptions.
        sample_rate: of the audio that it is for, in Hz.
        weights: arrays by the names that checkpoints give them; they are not copied.
    """

    def __init__(self, options: NetworkOptions, sample_rate: int, weights: Weights):
        self.options, self.sample_rate, self.weights = options, sample_rate, weights
        self.encoder = np.ascontiguousarray(weights["encoder.weight"].T)  # [L, N]
        self.decoder = weights["decoder.weight"]  # [N, L]
        self.separator = Separator(_below(weights, "separator"), options)

    @classmethod
    def of(cls, net: "ConvTasNet") -> "NumpyNetwork":
        """The same network as one of MindSpore's, whose weights are copied."""
        weights = {name: parameter.asnumpy().copy() for name, parameter in net.parameters_and_names()}
        return cls(net.options, net.sample_rate, weights)

    def __call__(self, mixture: np.ndarray) -> np.ndarray:
        """Separate one mixture, float32 [T]. Returns its estimates, float32 [C, T]."""
        T, hop, C = len(mixture), self.options.hop, self.options.C
        front = hop if self.options.padding == "both" else 0
        K = frame_count(T, hop, self.options.padding)
        hops = np.zeros((K + 1, hop), np.float32)
        heard = min(T, hops.size - front)  # with padding "none" less than a hop is not
        hops.reshape(-1)[front : front + heard] = mixture[:heard]
        with one_thread_a_product():
            w = in_parts(lambda rows: self.encode(hops[rows.start : rows.stop + 1]), K)  # [K, N]
            x = self.separator(w)
            frames = in_parts(lambda rows: self.decode(w[rows], self.separator.masks(x[rows])), K)  # [K, C, L]
        samples = np.zeros((C, K + 2, hop), np.float32)
        samples[:, :K] = frames[:, :, :hop].transpose(1, 0, 2)
        samples[:, 1 : K + 1] += frames[:, :, hop:].transpose(1, 0, 2)
        return samples.reshape(C, -1)[:, front : front + T].copy()

    def encode(self, hops: np.ndarray) -> np.ndarray:
        """Of the frames that so many hops of samples make: [K + 1, hop] -> [K, N]."""
        w = np.concatenate([hops[:-1], hops[1:]], axis=1) @ self.encoder  # [K, N]
        return np.maximum(w, 0, out=w) if self.options.encoder_relu else w

    def decode(self, w: np.ndarray, masks: np.ndarray) -> np.ndarray:
        """[K, N], [K, C, N] -> frames of samples, which overlap by half: [K, C, L]."""
        return (w[:, np.newaxis] * masks) @ self.decoder


def load_in_numpy(path: str | os.PathLike) -> NumpyNetwork:
    """Build the network of a checkpoint. Raises UserError as `model.load_model` does."""
    checkpoint = read_checkpoint(path)
    weights = {name: array.astype(np.float32) for name, array in checkpoint.parameters.items()}
    return NumpyNetwork(checkpoint.options, checkpoint.sample_rate, weights)


class Separator:
    """model.Separator: [K, N] -> what the masks are made of, [K, B] or [K, Sc], and from that the masks."""

    def __init__(self, weights: Weights, options: NetworkOptions):
        self.C, self.N, self.has_skip = options.C, options.N, options.Sc > 0
        self.nonlinear = NONLINEAR[options.mask_nonlinear]
        self.norm = NORMS[options.first_norm](_below(weights, "norm"))
        self.bottleneck = Pointwise(_below(weights, "bottleneck"))
        self.blocks = [
            Block(_below(weights, f"blocks.{i}"), options, 2 ** (i % options.X)) for i in range(options.R * options.X)
        ]
        self.slope = weights.get("prelu.slope")
        self.conv_masks = Pointwise(_below(weights, "conv_masks"))

    def __call__(self, w: np.ndarray) -> np.ndarray:
        """All frames of a mixture: [K, N] -> [K, B] or [K, Sc]."""
        K = len(w)
        bottleneck = self.bottleneck.after(*self.norm.of_whole(lambda rows: w[rows], K))
        x = in_parts(lambda rows: bottleneck(rows), K)  # [K, B]
        skips = 0.0
        for block in self.blocks:
            x, skip = block(x)
            skips = skips + skip  # [K, Sc]
        return skips if self.has_skip else x

    def reset(self) -> None:
        """Begin a stream."""
        self.norm.reset()
        for block in self.blocks:
            block.reset()

    def advance(self, w: np.ndarray) -> np.ndarray:
        """The next frames of a stream, of a causal network: [K, N] -> [K, B] or [K, Sc]."""
        x = self.bottleneck.after(self.norm(w), self.norm.gain, self.norm.shift)()  # [K, B]
        skips = 0.0
        for block in self.blocks:
            x, skip = block.advance(x)
            skips = skips + skip  # [K, Sc]
        return skips if self.has_skip else x

    def masks(self, x: np.ndarray) -> np.ndarray:
        """[K, B] or [K, Sc] -> [K, C, N]."""
        if self.slope is not None:
            x = prelu(x, self.slope)
        return self.nonlinear(self.conv_masks(x).reshape(-1, self.C, self.N))


class Block:
    """model.Block: [K, B] -> [K, B], and for the skip path [K, Sc] or 0."""

    def __init__(self, weights: Weights, options: NetworkOptions, dilation: int):
        self.conv_in = Pointwise(_below(weights, "conv_in"))
        self.slope_in, self.slope_out = weights["prelu_in.slope"], weights["prelu_out.slope"]
        norm = NORMS[options.norm_type]
        self.norm_in, self.norm_out = norm(_below(weights, "norm_in")), norm(_below(weights, "norm_out"))
        self.taps, self.bias = weights["depthwise.weight"], weights.get("depthwise.bias", np.float32(0))  # [P, H]
        reach = (options.P - 1) * dilation  # frames from the first tap to the last
        self.offsets = np.arange(options.P) * dilation - (
            reach if options.causal else reach // 2
        )  # of the frames heard
        self.reach = reach
        residual, skip = _below(weights, "conv_residual"), _below(weights, "conv_skip")
        self.conv_residual = Pointwise(residual) if residual else None
        self.conv_skip = Pointwise(skip) if skip else None

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray | float]:
        """All frames of a mixture."""
        K = len(x)
        y, *affine = self.norm_in.of_whole(lambda rows: prelu(self.conv_in(x[rows]), self.slope_in), K)  # [K, H]
        depthwise = self.depthwise(y, *affine)
        y, *affine = self.norm_out.of_whole(lambda rows: prelu(depthwise(rows), self.slope_out), K)  # [K, H]
        skip = 0.0
        if self.conv_skip:
            skip = in_parts(self.conv_skip.after(y, *affine), K)  # [K, Sc]
        if self.conv_residual:
            residual = self.conv_residual.after(y, *affine)
            x = in_parts(lambda rows: x[rows] + residual(rows), K)  # [K, B]
        return x, skip

    def depthwise(self, y: np.ndarray, gain: np.ndarray, shift: np.ndarray) -> Callable[[slice], np.ndarray]:
        """Dilated convolution of each channel of y * gain + shift [K, H], zero before and after: some frames of it."""
        K = len(y)
        taps, shifts = self.taps * gain, self.taps * shift  # [P, H]
        bias = self.bias + shifts.sum(0)

        def of(rows: slice) -> np.ndarray:
            total = np.empty((rows.stop - rows.start, y.shape[1]), np.float32)
            total[:] = bias
            for offset, tap, lacking in zip(self.offsets, taps, shifts, strict=True):
                first, stop = (min(max(edge, -offset), K - offset) for edge in (rows.start, rows.stop))
                first, stop = max(first, rows.start), min(stop, rows.stop)  # those that hear a frame of the mixture
                if first >= stop:
                    total -= lacking
                    continue
                total[first - rows.start : stop - rows.start] += tap * y[first + offset : stop + offset]
                total[: first - rows.start] -= lacking
                total[stop - rows.start :] -= lacking
            return total  # [n, H]

        return of

    def reset(self) -> None:
        """Begin a stream."""
        self.norm_in.reset()
        self.norm_out.reset()
        self.past = np.zeros((self.reach, self.taps.shape[1]), np.float32)  # frames that the taps reach back to

    def advance(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray | float]:
        """The next frames of a stream, of a causal network."""
        y = self.norm_in(prelu(self.conv_in(x), self.slope_in))  # [K, H]
        y = np.concatenate([self.past, y * self.norm_in.gain + self.norm_in.shift])  # [reach + K, H]
        K, self.past = len(x), y[len(x) :]
        total = self.bias
        for offset, tap in zip(self.offsets + self.reach, self.taps, strict=True):
            total = total + tap * y[offset : offset + K]  # [K, H]
        y = self.norm_out(prelu(total, self.slope_out))
        affine = self.norm_out.gain, self.norm_out.shift
        skip = self.conv_skip.after(y, *affine)() if self.conv_skip else 0.0  # [K, Sc]
        if self.conv_residual:
            x = x + self.conv_residual.after(y, *affine)()  # [K, B]
        return x, skip


class Pointwise:
    """1x1 convolution: [K, inputs] -> [K, outputs]."""

    def __init__(self, weights: Weights):
        self.weight = np.ascontiguousarray(weights["weight"].T)  # [inputs, outputs]
        self.bias = weights.get("bias")

    def __call__(self, x: np.ndarray) -> np.ndarray:
        y = x @ self.weight
        return y if self.bias is None else np.add(y, self.bias, out=y)

    def after(self, y: np.ndarray, gain: np.ndarray, shift: np.ndarray) -> Callable[[slice], np.ndarray]:
        """The convolution of y * gain + shift [K, inputs]: some frames of it."""
        weight, bias = gain[:, np.newaxis] * self.weight, shift @ self.weight
        if self.bias is not None:
            bias = bias + self.bias

        def of(rows: slice = slice(None)) -> np.ndarray:
            product = y[rows] @ weight
            return np.add(product, bias, out=product)

        return of


class FrameNorm:
    """norms.FrameNorm, cLN: [K, channels] -> y, of which y * gain + shift is the normalised x."""

    def __init__(self, weights: Weights):
        self.gain, self.shift = weights["gain"], weights["bias"]

    def of_whole(self, make: Callable[[slice], np.ndarray], K: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """y [K, channels], gain and shift [channels] for all K frames of a mixture, which `make` gives in parts."""
        return in_parts(lambda rows: self(make(rows)), K), self.gain, self.shift

    def reset(self) -> None:
        """Begin a stream; there is no past."""

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The next frames of a stream."""
        centred = x - x.mean(1, keepdims=True)
        variance = np.einsum("kh,kh->k", centred, centred) / x.shape[1]
        return centred * ((variance + EPSILON) ** -0.5)[:, np.newaxis]


class CumulativeNorm(FrameNorm):
    """norms.CumulativeNorm, cgLN; the sums over the frames so far have 64 bits, so that they may grow."""

    def of_whole(self, make: Callable[[slice], np.ndarray], K: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        self.reset()
        return self(in_parts(make, K)), self.gain, self.shift

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

    def of_whole(self, make: Callable[[slice], np.ndarray], K: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        moments = []  # of each part: numbers, mean, sum of squares about it

        def measured(rows: slice) -> np.ndarray:
            part = make(rows)
            mean = part.mean()
            squares = np.square(part - mean)
            moments.append((part.size, mean, squares.sum()))  # numpy adds pairwise; a product would lose digits
            return part

        y = in_parts(measured, K)
        sizes, means, squares = np.array(moments, np.float64).T
        mean = sizes @ means / sizes.sum()
        variance = (squares.sum() + sizes @ (means - mean) ** 2) / sizes.sum()  # within the parts, and between them
        gain = self.gain * np.float32((variance + EPSILON) ** -0.5)
        return y, gain, self.shift - np.float32(mean) * gain


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


def in_parts(make: Callable[[slice], np.ndarray], K: int) -> np.ndarray:
    """What `make` gives for all K frames, made in parts, by several threads: [K, ...]."""
    parts = [slice(start, min(start + FRAMES_AT_ONCE, K)) for start in range(0, K, FRAMES_AT_ONCE)]
    if len(parts) == 1:
        return make(parts[0])
    first = make(parts[0])
    whole = np.empty((K, *first.shape[1:]), first.dtype)
    whole[parts[0]] = first

    def put(rows: slice) -> None:
        whole[rows] = make(rows)

    list(_threads().map(put, parts[1:]))
    return whole


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())


def one_thread_a_product():
    """Meanwhile numpy computes a matrix product in the thread that asks for it; the parts keep all cores busy."""
    return _libraries().limit(limits=1, user_api="blas")


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def _below(weights: Weights, prefix: str) -> Weights:
    """The weights whose names begin with `prefix.`, without it."""
    return {name.removeprefix(f"{prefix}."): w for name, w in weights.items() if name.startswith(f"{prefix}.")}
