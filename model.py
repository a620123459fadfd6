"""Conv-TasNet: encoder, TCN separator and decoder (Luo and Mesgarani 2019, arXiv 1809.07454).

    from device import set_device
    from model import load_model

    set_device()
    net = load_model("best.ckpt")
    estimates = net(mixture)  # [M, T] -> [M, C, T]

config.py explains the letters and options. Features are laid out [M, K, channels]; network/layers.py says why.
"""

import os

import mindspore as ms
import numpy as np
from mindspore import Parameter, nn, ops

from network.checkpoint import read_checkpoint, restore
from network.layers import DepthwiseConv, NormedPointwiseConv, PointwiseConv, PReLU, before, between, uniform
from network.norms import NORMS
from network.options import NetworkOptions, frame_count


class Encoder(nn.Cell):
    """Frames of L samples that overlap by half, each as its products with N filters: [M, T] -> [M, K, N]."""

    def __init__(self, options: NetworkOptions, random: np.random.Generator):
        super().__init__()
        self.L, self.N, self.hop, self.padding = options.L, options.N, options.hop, options.padding
        self.relu = options.encoder_relu
        self.weight = Parameter(uniform(random, (options.N, options.L), options.L), name="weight")
        self.product = ops.MatMul(transpose_b=True)

    def construct(self, mixture):
        M, T = mixture.shape
        K = frame_count(T, self.hop, self.padding)
        hops = self.fit(mixture, (K + 1) * self.hop).reshape(M, K + 1, self.hop)
        frames = ops.cat((hops[:, :-1], hops[:, 1:]), 2)  # [M, K, L]
        w = self.product(frames.reshape(M * K, self.L), self.weight)  # [M * K, N]
        if self.relu:
            w = ops.relu(w)
        return w.reshape(M, K, self.N)

    def fit(self, mixture: ms.Tensor, samples: int) -> ms.Tensor:
        """Zeros at the end (or samples cut from it) to make whole frames; with padding "both" a hop in front."""
        # Two hops of zeros are never too few. The operators are the same for every T, which an export may leave open.
        zeros = ops.zeros((mixture.shape[0], 2 * self.hop), mixture.dtype)
        parts = (zeros[:, : self.hop], mixture, zeros) if self.padding == "both" else (mixture, zeros)
        return ops.cat(parts, 1)[:, :samples]


class Decoder(nn.Cell):
    """Each frame as a weighted sum of N basis signals, overlap-added: [M, K, C, N] -> [M, C, T]."""

    def __init__(self, options: NetworkOptions, random: np.random.Generator):
        super().__init__()
        self.L, self.N, self.hop, self.padding = options.L, options.N, options.hop, options.padding
        self.weight = Parameter(uniform(random, (options.N, options.L), options.N), name="weight")
        self.product = ops.MatMul()

    def construct(self, masked, T):
        M, K, C, _ = masked.shape
        frames = self.product(masked.reshape(M * K * C, self.N), self.weight)  # [M * K * C, L]
        samples = overlap_add(frames.reshape(M, K, C, self.L))  # [M, C, (K + 1) * hop]
        # Less than a hop may be missing with padding "none". A slice of all there is would be one that ONNX's readers
        # do not take.
        samples = ops.cat((samples, ops.zeros((M, C, self.hop), samples.dtype)), 2)
        front = self.hop if self.padding == "both" else 0
        return samples[:, :, front : front + T]


class Block(nn.Cell):
    """One-dimensional convolutional block of the TCN (paper, figure 1.C): [M, K, B] -> residual, skip.

    MindSpore works out types and gradients once for all blocks of equal arguments, which are those of a dilation, and
    puts what comes of it into the place of each: a third less to compile than with each block by itself.
    """

    @ms.lazy_inline(policy="front")
    def __init__(self, options: NetworkOptions, dilation: int, has_residual: bool, random: np.random.Generator):
        super().__init__()
        norm = NORMS[options.norm_type]
        self.conv_in = PointwiseConv(options.B, options.H, options.bias, random)
        self.prelu_in = PReLU()
        self.norm_in = norm(options.H)
        self.depthwise = DepthwiseConv(options.H, options.P, dilation, options.causal, options.bias, random)
        self.prelu_out = PReLU()
        self.norm_out = norm(options.H)
        self.has_residual, self.has_skip = has_residual, options.Sc > 0
        if has_residual:
            self.conv_residual = NormedPointwiseConv(options.H, options.B, options.bias, random)
        if self.has_skip:
            self.conv_skip = NormedPointwiseConv(options.H, options.Sc, options.bias, random)

    def construct(self, x, frame_mask, mixture_masks):  # lazy_inline wants no default values
        y = self.prelu_in(self.conv_in(x), frame_mask)  # [M, K, H]
        y = self.depthwise(*self.norm_in(y, frame_mask, mixture_masks), frame_mask)  # [M, K, H]
        y = self.prelu_out(y, frame_mask)  # [M, K, H]
        normed = self.norm_out(y, frame_mask, mixture_masks)
        if self.has_residual:
            x = x + self.conv_residual(*normed)  # [M, K, B]
        skip = self.conv_skip(*normed) if self.has_skip else None  # [M, K, Sc]
        return x, skip

    def add_nothing(self) -> None:
        """Set the last weights to zero, so that the block changes nothing until it is trained."""
        for name, parameter in self.parameters_and_names():
            if name.startswith(("conv_residual.", "conv_skip.")):
                parameter.set_data(ops.zeros_like(parameter))


class Separator(nn.Cell):
    """Temporal convolutional network that estimates a mask for each speaker: [M, K, N] -> [M, K, C, N]."""

    def __init__(self, options: NetworkOptions, random: np.random.Generator):
        super().__init__()
        self.C, self.N = options.C, options.N
        self.norm = NORMS[options.first_norm](options.N)
        self.bottleneck = NormedPointwiseConv(options.N, options.B, options.bias, random)
        self.has_skip = options.Sc > 0
        count = options.R * options.X
        # Nothing reads the last residual where the skip path makes the masks.
        self.blocks = nn.CellList(
            [Block(options, 2 ** (i % options.X), not self.has_skip or i < count - 1, random) for i in range(count)]
        )
        self.prelu = PReLU() if options.mask_prelu else None
        self.conv_masks = PointwiseConv(options.Sc or options.B, options.C * options.N, options.bias, random)
        self.nonlinear = {"relu": ops.relu, "sigmoid": ops.sigmoid, "softmax": softmax_over_speakers}[
            options.mask_nonlinear
        ]

    def construct(self, w, frame_mask, mixture_masks=None):
        M, K, _ = w.shape
        x = self.bottleneck(*self.norm(w, frame_mask, mixture_masks))  # [M, K, B]
        skips = 0.0
        for block in self.blocks:
            x, skip = block(x, frame_mask, mixture_masks)
            if self.has_skip:
                skips = skips + skip  # [M, K, Sc]
        if self.has_skip:
            x = skips
        if self.prelu is not None:
            x = self.prelu(x, frame_mask)
        masks = self.conv_masks(x).reshape(M, K, self.C, self.N)
        return self.nonlinear(masks)


class ConvTasNet(nn.Cell):
    """Separates C speakers.

    Args:
        options: sizes, norms and activations.
        sample_rate: samples a second of the audio that the network is for; carried along, not computed with.
        seed: of the initial weights.
    """

    def __init__(self, options: NetworkOptions, sample_rate: int, seed: int = 0):
        super().__init__()
        random = np.random.default_rng(seed)
        self.options, self.sample_rate = options, sample_rate
        self.hop, self.padding = options.hop, options.padding
        self.encoder = Encoder(options, random)
        self.separator = Separator(options, random)
        self.decoder = Decoder(options, random)

    def construct(self, mixture, lengths=None, starts=None):
        """Separate mixtures.

        Args:
            mixture: [M, T] float32.
            lengths: [M] int32, true samples of each mixture; what follows them changes nothing and comes back as
                zeros. None: all of them are T long.
            starts: None, or [M, U] int32, where a row holds U mixtures one after another, which change nothing in
                each other: the first sample of each, a multiple of the hop, `options.gap` or more samples after the
                end of the one before. `lengths` is [M, U] then, 0 where a row holds fewer.

        Returns the estimates [M, C, T].
        """
        M, T = mixture.shape
        K = frame_count(T, self.hop, self.padding)
        if lengths is None:
            lengths = ops.full((M,), T, dtype=ms.float32)
        lengths = lengths.astype(ms.float32)  # exact up to 2^24 samples; the fused kernels have no integers
        frames = frame_count(lengths, self.hop, self.padding) * (lengths > 0).astype(ms.float32)  # [M] or [M, U]
        if starts is None:
            mixture_masks = None
            sample_mask = before(lengths, T)  # [M, T]
            frame_mask = before(frames, K).reshape(M, K, 1)
        else:
            starts = starts.astype(ms.float32)
            mixture_masks = between(starts / self.hop, frames, K)  # [M, U, K]
            sample_mask = between(starts, lengths, T).sum(1)  # [M, T]
            frame_mask = mixture_masks.sum(1).reshape(M, K, 1)
        mixture = mixture * sample_mask
        w = self.encoder(mixture) * frame_mask  # [M, K, N]
        masks = self.separator(w, frame_mask, mixture_masks)  # [M, K, C, N]
        estimates = self.decoder(w.reshape(M, K, 1, -1) * masks, T)  # [M, C, T]
        return estimates * sample_mask.reshape(M, 1, T)


def overlap_add(frames: ms.Tensor) -> ms.Tensor:
    """Add up frames that overlap by half: [M, K, C, L] -> [M, C, (K + 1) * L / 2]."""
    M, K, C, L = frames.shape
    first, second = frames[..., : L // 2], frames[..., L // 2 :]  # [M, K, C, L / 2]
    zeros = ops.zeros((M, 1, C, L // 2), frames.dtype)
    hops = ops.cat((first, zeros), 1) + ops.cat((zeros, second), 1)  # [M, K + 1, C, L / 2]
    return hops.transpose(0, 2, 1, 3).reshape(M, C, (K + 1) * (L // 2))


def softmax_over_speakers(masks: ms.Tensor) -> ms.Tensor:
    """[M, K, C, N], adding up to 1 over C."""
    return ops.softmax(masks, 2)


def load_model(path: str | os.PathLike) -> ConvTasNet:
    """Build a network from its checkpoint alone, ready to separate.

    It carries the `options` and the `sample_rate` that the checkpoint states. Raises UserError if the file is missing,
    damaged or not a checkpoint of this project.
    """
    checkpoint = read_checkpoint(path)
    net = ConvTasNet(checkpoint.options, checkpoint.sample_rate)
    restore(net.parameters_and_names(), checkpoint.parameters, path)
    return net.set_train(False)
