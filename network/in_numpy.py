"""The trained network in plain numpy: what separates recordings on a CPU, whole (`NumpyNetwork`) or as they come.

In graph mode MindSpore compiles for seconds before the first sound, and anew for each length; this begins at once, and
is as fast. model.py is the reference that the tests hold it to. Features are laid out [K, channels], of one mixture.

What stands between two matrix products is done in parts of some frames, which stay in the processor's cache, and in as
many threads as there are cores: numpy leaves the interpreter to others while it computes.

A gain and shift that a norm would multiply its features by are worked into the weights of the convolution that follows.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from network.checkpoint import read_checkpoint
from network.numpy_layers import (
    NONLINEAR,
    NORMS,
    Pointwise,
    Weights,
    in_parts,
    one_thread_a_product,
    prelu,
)
from network.options import NetworkOptions, frame_count

if TYPE_CHECKING:
    from mindspore import nn


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
    def of(cls, net: "nn.Cell") -> "NumpyNetwork":
        """The same network as a model.ConvTasNet, whose weights are copied."""
        weights = {name: parameter.asnumpy().copy() for name, parameter in net.parameters_and_names()}
        return cls(net.options, net.sample_rate, weights)

    def trainable_params(self) -> list[np.ndarray]:
        """The weights without running averages, as `options.parameter_count` counts them."""
        return [weight for name, weight in self.weights.items() if ".running_" not in name]

    def __call__(self, mixture: np.ndarray) -> np.ndarray:
        """Separate one mixture, float32 [T]. Returns its estimates, float32 [C, T]."""
        T, hop, C = len(mixture), self.options.hop, self.options.C
        front = hop if self.options.padding == "both" else 0
        K = frame_count(T, hop, self.options.padding)
        hops = np.zeros((K + 1, hop), np.float32)
        heard = min(T, hops.size - front)  # with padding "none" less than a hop is not
        hops.reshape(-1)[front : front + heard] = mixture[:heard]
        w, frames = np.empty((K, self.options.N), np.float32), np.empty((K, C, 2 * hop), np.float32)
        with one_thread_a_product():
            in_parts(K, lambda rows: self.encode(hops[rows.start : rows.stop + 1], w[rows]))
            x = self.separator(w)  # [K, B] or [K, Sc]
            in_parts(K, lambda rows: self.decode(w[rows], self.separator.masks(x[rows]), frames[rows]))
        samples = np.zeros((C, K + 2, hop), np.float32)
        samples[:, :K] = frames[:, :, :hop].transpose(1, 0, 2)
        samples[:, 1 : K + 1] += frames[:, :, hop:].transpose(1, 0, 2)
        return samples.reshape(C, -1)[:, front : front + T].copy()

    def encode(self, hops: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Of the frames that so many hops of samples make: [K + 1, hop] -> [K, N]."""
        w = np.matmul(np.concatenate([hops[:-1], hops[1:]], axis=1), self.encoder, out=out)  # [K, N]
        return np.maximum(w, 0, out=w) if self.options.encoder_relu else w

    def decode(self, w: np.ndarray, masks: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """[K, N], [K, C, N] -> frames of samples, which overlap by half: [K, C, L]."""
        return np.matmul(w[:, np.newaxis] * masks, self.decoder, out=out)


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
        self.bottleneck = Pointwise.of(_below(weights, "bottleneck"))
        self.blocks = [
            Block(_below(weights, f"blocks.{i}"), options, 2 ** (i % options.X)) for i in range(options.R * options.X)
        ]
        self.slope = weights.get("prelu.slope")
        self.conv_masks = Pointwise.of(_below(weights, "conv_masks"))

    def __call__(self, w: np.ndarray) -> np.ndarray:
        """All frames of a mixture: [K, N] -> [K, B] or [K, Sc]."""
        y, *affine = self.norm.of_whole(w)
        return self.through_blocks(self.bottleneck.after(*affine).of_whole(y), Block.__call__)

    def reset(self) -> None:
        """Begin a stream."""
        self.norm.reset()
        self.streamed_bottleneck = self.bottleneck.after(self.norm.gain, self.norm.shift)
        for block in self.blocks:
            block.reset()

    def advance(self, w: np.ndarray) -> np.ndarray:
        """The next frames of a stream, of a causal network: [K, N] -> [K, B] or [K, Sc]."""
        return self.through_blocks(self.streamed_bottleneck(self.norm(w)), Block.advance)

    def through_blocks(self, x: np.ndarray, pass_one: Callable[["Block", np.ndarray], tuple]) -> np.ndarray:
        """[K, B] -> [K, B] or [K, Sc]; `pass_one` is the method of Block for a whole mixture, or for a stream."""
        skips = 0.0
        for block in self.blocks:
            x, skip = pass_one(block, x)
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
        self.conv_in = Pointwise.of(_below(weights, "conv_in"))
        self.slope_in, self.slope_out = weights["prelu_in.slope"], weights["prelu_out.slope"]
        norm = NORMS[options.norm_type]
        self.norm_in, self.norm_out = norm(_below(weights, "norm_in")), norm(_below(weights, "norm_out"))
        self.taps, self.bias = weights["depthwise.weight"], weights.get("depthwise.bias", np.float32(0))  # [P, H]
        self.reach = (options.P - 1) * dilation  # frames from the first tap to the last
        before = self.reach if options.causal else self.reach // 2
        self.offsets = np.arange(options.P) * dilation - before  # of the frames that the taps hear
        residual, skip = _below(weights, "conv_residual"), _below(weights, "conv_skip")
        self.conv_residual = Pointwise.of(residual) if residual else None
        self.conv_skip = Pointwise.of(skip) if skip else None

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray | float]:
        """All frames of a mixture."""
        K, H = len(x), self.taps.shape[1]
        y, z = np.empty((K, H), np.float32), np.empty((K, H), np.float32)
        affine = self.norm_in.of_parts(y, lambda rows: prelu(self.conv_in(x[rows], y[rows]), self.slope_in))
        hear = self.depthwise(y, *affine)
        affine = self.norm_out.of_parts(z, lambda rows: prelu(hear(rows, z[rows]), self.slope_out))
        skip = self.conv_skip.after(*affine).of_whole(z) if self.conv_skip else 0.0  # [K, Sc]
        if self.conv_residual:
            x = self.conv_residual.after(*affine).of_whole(z, plus=x)  # [K, B]
        return x, skip

    def depthwise(
        self, y: np.ndarray, gain: np.ndarray, shift: np.ndarray
    ) -> Callable[[slice, np.ndarray], np.ndarray]:
        """Dilated convolution of each channel of y * gain + shift [K, H], zero before and after: some frames of it."""
        K = len(y)
        taps, shifts = self.taps * gain, self.taps * shift  # [P, H]
        bias = self.bias + shifts.sum(0)

        def hear(rows: slice, out: np.ndarray) -> np.ndarray:
            out[:] = bias
            product = np.empty_like(out)
            for offset, tap, lacking in zip(self.offsets, taps, shifts, strict=True):
                first = min(max(rows.start, -offset), rows.stop)  # these hear a frame of the mixture, the others none
                stop = max(min(rows.stop, K - offset), first)
                heard = slice(first - rows.start, stop - rows.start)
                out[heard] += np.multiply(tap, y[first + offset : stop + offset], out=product[heard])
                out[: heard.start] -= lacking
                out[heard.stop :] -= lacking
            return out  # [n, H]

        return hear

    def reset(self) -> None:
        """Begin a stream."""
        self.norm_in.reset()
        self.norm_out.reset()
        self.past = np.zeros((self.reach, self.taps.shape[1]), np.float32)  # frames that the taps reach back to
        affine = self.norm_out.gain, self.norm_out.shift
        self.streamed_residual = self.conv_residual.after(*affine) if self.conv_residual else None
        self.streamed_skip = self.conv_skip.after(*affine) if self.conv_skip else None

    def advance(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray | float]:
        """The next frames of a stream, of a causal network."""
        y = self.norm_in(prelu(self.conv_in(x), self.slope_in))  # [K, H]
        y = np.concatenate([self.past, y * self.norm_in.gain + self.norm_in.shift])  # [reach + K, H]
        K, self.past = len(x), y[len(x) :]
        total = self.bias
        for offset, tap in zip(self.offsets + self.reach, self.taps, strict=True):
            total = total + tap * y[offset : offset + K]  # [K, H]
        y = self.norm_out(prelu(total, self.slope_out))
        skip = self.streamed_skip(y) if self.streamed_skip else 0.0  # [K, Sc]
        if self.streamed_residual:
            x = x + self.streamed_residual(y)  # [K, B]
        return x, skip


def _below(weights: Weights, prefix: str) -> Weights:
    """The weights whose names begin with `prefix.`, without it."""
    return {name.removeprefix(f"{prefix}."): w for name, w in weights.items() if name.startswith(f"{prefix}.")}
