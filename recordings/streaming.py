"""A causal network on a live stream, a chunk at a time, in plain numpy on the network's own weights.

    streamer = Streamer(load_model("causal.ckpt"))
    for samples in microphone:
        play(streamer.push(samples))  # [any number] -> [C, what is ready]
    play(streamer.finish())

A chunk of some milliseconds is little arithmetic in many operators, and in graph mode MindSpore would compile anew for
each size of chunk.

The output lags a hop behind the input: each sample lies in two frames, the second of which ends up to a hop later.
"""

import numpy as np
from scipy.special import expit, softmax

from common.errors import UserError
from model import ConvTasNet, frame_count
from network.norms import BATCH_NORM_EPSILON, EPSILON
from network.options import NetworkOptions
from recordings.offset import OffsetFilter

FRAMES_AT_ONCE = 128  # what is longer is taken in parts, which stay in the processor's cache


class Streamer:
    """Separates a stream into what the network gives for the whole of it, but for rounding. Its state does not grow.

    A stream with an offset is heard without it (see `OffsetFilter`).

    Args:
        net: a causal network; its weights are copied.

    Attributes:
        delay_ms: milliseconds that the output lags behind the input, one hop.

    Raises UserError if the network is not causal.
    """

    def __init__(self, net: ConvTasNet):
        if not net.options.causal:
            raise UserError("--streaming: the network looks ahead; train one with --causal 1 --norm_type cgLN (or cLN)")
        weights = {name: parameter.asnumpy().copy() for name, parameter in net.parameters_and_names()}
        self.C, self.hop, self.padding = net.options.C, net.options.hop, net.options.padding
        self.encoder_relu = net.options.encoder_relu
        self.encoder, self.decoder = weights["encoder.weight"].T, weights["decoder.weight"]  # [L, N], [N, L]
        self.separator = StreamingSeparator(weights, net.options)
        self.delay_ms = 1000 * self.hop / net.sample_rate
        self.without_offset = OffsetFilter(net.sample_rate)
        self.reset()

    def reset(self) -> None:
        """Forget the stream, for the next one."""
        self.separator.reset()
        self.without_offset.reset()
        self.front = self.hop if self.padding == "both" else 0  # zeros in front, whose estimates are dropped
        self.waiting = np.zeros(self.front, np.float32)  # the last complete hop, and what came after it
        self.tail = np.zeros((self.C, self.hop), np.float32)  # second half of the last frame
        self.received = self.given = 0  # samples

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Take the next samples, float32 [any number] at the network's rate.

        Returns the estimates [C, n] that are complete now: in all, as many hops as are complete, less one.
        """
        samples = np.asarray(samples, np.float32)
        if samples.ndim != 1:
            raise UserError(f"samples of shape {samples.shape}: must be one channel, [any number]")
        self.received += len(samples)
        estimates = self.advance(self.without_offset(samples))
        self.given += estimates.shape[1]
        return estimates

    def finish(self) -> np.ndarray:
        """End the stream. Returns the estimates that are left [C, n]: in all, there are as many as samples."""
        hops = frame_count(self.received, self.hop, self.padding) + 1
        missing = max(0, hops * self.hop - self.front - self.received)  # to whole frames
        rest = np.concatenate([self.advance(np.zeros(missing, np.float32)), self.tail], axis=1)
        left = self.received - self.given
        rest = np.pad(rest, ((0, 0), (0, max(0, left - rest.shape[1]))))[:, :left]
        self.reset()
        return rest

    def advance(self, samples: np.ndarray) -> np.ndarray:
        """Estimate what these samples complete: [any number] -> [C, whole hops]."""
        self.waiting = np.concatenate([self.waiting, samples])
        frames = len(self.waiting) // self.hop - 1
        if frames < 1:
            return np.zeros((self.C, 0), np.float32)
        hops = self.waiting[: (frames + 1) * self.hop].reshape(-1, self.hop)  # [frames + 1, hop]
        self.waiting = self.waiting[frames * self.hop :]
        starts = range(0, frames, FRAMES_AT_ONCE)
        estimates = np.concatenate([self.estimate(hops[k : k + FRAMES_AT_ONCE + 1]) for k in starts], axis=1)
        dropped = min(self.front, estimates.shape[1])
        self.front -= dropped
        return estimates[:, dropped:]

    def estimate(self, hops: np.ndarray) -> np.ndarray:
        """Separate the frames that these hops make: [K + 1, hop] -> [C, K * hop]."""
        w = np.concatenate([hops[:-1], hops[1:]], axis=1) @ self.encoder  # [K, N]
        if self.encoder_relu:
            w = np.maximum(w, 0)
        masked = w[:, np.newaxis] * self.separator.masks(w)  # [K, C, N]
        frames = (masked @ self.decoder).transpose(1, 0, 2)  # [C, K, L]
        first, second = frames[..., : self.hop], frames[..., self.hop :]  # [C, K, hop]
        halves = np.concatenate([self.tail[:, np.newaxis], second], axis=1)  # [C, K + 1, hop]
        self.tail = halves[:, -1].copy()
        return (first + halves[:, :-1]).reshape(self.C, -1)


class StreamingSeparator:
    """model.Separator, some frames at a time: keeps the past that its convolutions and norms reach back to."""

    def __init__(self, weights: dict[str, np.ndarray], options: NetworkOptions):
        self.C, self.N, self.has_skip = options.C, options.N, options.Sc > 0
        self.nonlinear = {"relu": lambda x: np.maximum(x, 0), "sigmoid": expit, "softmax": lambda x: softmax(x, 1)}[
            options.mask_nonlinear
        ]
        separator = _below(weights, "separator")
        self.norm = NORMS[options.first_norm](_below(separator, "norm"))
        self.bottleneck = Pointwise(_below(separator, "bottleneck"), self.norm)
        self.blocks = [
            StreamingBlock(_below(separator, f"blocks.{i}"), options, 2 ** (i % options.X))
            for i in range(options.R * options.X)
        ]
        self.slope = separator.get("prelu.slope")
        self.conv_masks = Pointwise(_below(separator, "conv_masks"))

    def reset(self) -> None:
        self.norm.reset()
        for block in self.blocks:
            block.reset()

    def masks(self, w: np.ndarray) -> np.ndarray:
        """The masks of the next frames: [K, N] -> [K, C, N]."""
        x = self.bottleneck(self.norm(w))  # [K, B]
        skips = 0.0
        for block in self.blocks:
            x, skip = block(x)
            skips = skips + skip  # [K, Sc]
        if self.has_skip:
            x = skips
        if self.slope is not None:
            x = prelu(x, self.slope)
        return self.nonlinear(self.conv_masks(x).reshape(-1, self.C, self.N))


class StreamingBlock:
    """model.Block, some frames at a time: [K, B] -> residual [K, B], skip [K, Sc] or 0."""

    def __init__(self, weights: dict[str, np.ndarray], options: NetworkOptions, dilation: int):
        self.conv_in = Pointwise(_below(weights, "conv_in"))
        self.slope_in, self.slope_out = weights["prelu_in.slope"], weights["prelu_out.slope"]
        norm = NORMS[options.norm_type]
        self.norm_in, self.norm_out = norm(_below(weights, "norm_in")), norm(_below(weights, "norm_out"))
        self.taps, self.bias = weights["depthwise.weight"], weights.get("depthwise.bias", 0.0)  # [P, H]
        self.dilation, self.reach = dilation, (options.P - 1) * dilation
        residual, skip = _below(weights, "conv_residual"), _below(weights, "conv_skip")
        self.conv_residual = Pointwise(residual, self.norm_out) if residual else None
        self.conv_skip = Pointwise(skip, self.norm_out) if skip else None

    def reset(self) -> None:
        self.norm_in.reset()
        self.norm_out.reset()
        self.past = np.zeros((self.reach, self.taps.shape[1]), np.float32)  # frames that the taps reach back to

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray | float]:
        y = self.norm_in(prelu(self.conv_in(x), self.slope_in))  # [K, H]
        y = self.depthwise(y * self.norm_in.gain + self.norm_in.shift)  # [K, H]
        y = self.norm_out(prelu(y, self.slope_out))  # [K, H]
        skip = self.conv_skip(y) if self.conv_skip else 0.0  # [K, Sc]
        if self.conv_residual:
            x = x + self.conv_residual(y)  # [K, B]
        return x, skip

    def depthwise(self, y: np.ndarray) -> np.ndarray:
        """Dilated convolution of each channel over these frames and those before: [K, H] -> [K, H]."""
        K = len(y)
        y = np.concatenate([self.past, y])  # [reach + K, H]
        self.past = y[K:]
        total = self.bias
        for p, taps in enumerate(self.taps):
            total = total + taps * y[p * self.dilation : p * self.dilation + K]
        return total


class Pointwise:
    """1x1 convolution; the gain and shift of a norm before it, if there is one, are worked into the weights."""

    def __init__(self, weights: dict[str, np.ndarray], norm: "StreamingFrameNorm | None" = None):
        self.weight, self.bias = weights["weight"].T, weights.get("bias", np.float32(0))  # [inputs, outputs]
        if norm is not None:
            self.bias = self.bias + norm.shift @ self.weight
            self.weight = norm.gain[:, np.newaxis] * self.weight

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return x @ self.weight + self.bias


class StreamingFrameNorm:
    """network.norms.FrameNorm, cLN: [K, channels] -> the normalised y, of which y * gain + shift is taken."""

    def __init__(self, weights: dict[str, np.ndarray]):
        self.gain, self.shift = weights["gain"], weights["bias"]

    def reset(self) -> None:
        """There is no past."""

    def __call__(self, x: np.ndarray) -> np.ndarray:
        centred = x - x.mean(1, keepdims=True)
        variance = np.einsum("kh,kh->k", centred, centred) / x.shape[1]
        return centred * ((variance + EPSILON) ** -0.5)[:, np.newaxis]


class StreamingCumulativeNorm(StreamingFrameNorm):
    """network.norms.CumulativeNorm, cgLN; the sums over the frames so far have 64 bits, so that they may grow."""

    def reset(self) -> None:
        self.count = self.total = self.squares = 0.0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        K, channels = x.shape
        wide = x.astype(np.float64)
        count = self.count + channels * np.arange(1, K + 1)
        total = self.total + np.cumsum(wide.sum(1))
        squares = self.squares + np.cumsum(np.einsum("kh,kh->k", wide, wide))
        self.count, self.total, self.squares = count[-1], total[-1], squares[-1]
        mean = total / count
        deviation = (np.maximum(squares / count - mean**2, 0) + EPSILON) ** -0.5
        return (x - mean.astype(np.float32)[:, np.newaxis]) * deviation.astype(np.float32)[:, np.newaxis]


class StreamingBatchNorm(StreamingFrameNorm):
    """network.norms.BatchNorm, BN, in a trained network: mean and deviation are in gain and shift."""

    def __init__(self, weights: dict[str, np.ndarray]):
        self.gain = weights["gain"] / np.sqrt(weights["running_variance"] + np.float32(BATCH_NORM_EPSILON))
        self.shift = weights["bias"] - weights["running_mean"] * self.gain

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return x


NORMS = {"cLN": StreamingFrameNorm, "cgLN": StreamingCumulativeNorm, "BN": StreamingBatchNorm}


def prelu(x: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """x where positive, slope * x elsewhere."""
    return (np.maximum if slope[0] <= 1 else np.minimum)(x, slope * x)


def _below(weights: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The weights whose names begin with `prefix.`, without it."""
    return {name.removeprefix(f"{prefix}."): w for name, w in weights.items() if name.startswith(f"{prefix}.")}
