"""Conv-TasNet of Luo and Mesgarani (2019) as Asteroid builds it, and its weights by Asteroid's names.

It has biases, a PReLU before the masks, a ReLU after the encoder, masks that are ReLUs, and no skip path. Frames are
where samples fill them.
"""

import json
import math
import os
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor, nn

from checkpoints.gpu_training.block import Convolve, Weights
from checkpoints.gpu_training.fast import Functions
from checkpoints.gpu_training.options import RATE, C, Network, P
from common.files import whole_file


def _uniform(shape: tuple[int, ...], inputs: int) -> nn.Parameter:
    return nn.Parameter(torch.empty(shape).uniform_(-1, 1) / math.sqrt(inputs))


def _constant(value: float, size: int) -> nn.Parameter:
    return nn.Parameter(torch.full((size,), float(value)))


class Block(nn.Module):
    """A convolutional block: its dilation in frames, and its weights by the names of `block.Weights`."""

    def __init__(self, options: Network, dilation: int):
        super().__init__()
        B, H = options.B, options.H
        self.register_buffer("dilation", torch.tensor(dilation), persistent=False)
        self.conv_in, self.bias_in = _uniform((H, B), B), _uniform((H,), B)
        self.taps, self.bias_taps = _uniform((P, H), P), _uniform((H,), P)
        self.conv_out, self.bias_out = _uniform((B, H), H), _uniform((B,), H)
        self.gain_in, self.gain_out = _constant(1, H), _constant(1, H)
        self.shift_in, self.shift_out = _constant(0, H), _constant(0, H)
        self.slope_in, self.slope_out = _constant(0.25, 1), _constant(0.25, 1)

    def weights(self) -> Weights:
        return Weights(*(getattr(self, name) for name in Weights._fields))


class ConvTasNet(nn.Module):
    """Separates two voices: mixture [M, T] -> estimates [M, C, T]."""

    def __init__(self, options: Network):
        super().__init__()
        N, L, B = options.N, options.L, options.B
        self.options = options
        self.filters = _uniform((N, L), L)
        self.gain, self.shift = _constant(1, N), _constant(0, N)
        self.bottleneck, self.bias_bottleneck = _uniform((B, N), N), _uniform((B,), N)
        self.blocks = nn.ModuleList(Block(options, 2**x) for _ in range(options.R) for x in range(options.X))
        self.slope = _constant(0.25, 1)
        self.conv_masks, self.bias_masks = _uniform((C * N, B), B), _uniform((C * N,), B)
        self.basis = _uniform((N, L), N)

    def forward(
        self, mixture: Tensor, functions: Functions | None = None, precision: torch.dtype = torch.float32
    ) -> Tensor:
        """`precision` is that of the features."""
        functions, causal = functions or Functions(), bool(self.options.causal)
        w, x = functions.encode(
            mixture, self.filters, self.gain, self.shift, self.bottleneck, self.bias_bottleneck, causal, precision
        )
        for block in self.blocks:
            x = Convolve.apply(functions, causal, block.dilation, x, *block.weights())
        masks = self.slope, self.conv_masks, self.bias_masks
        return functions.decode(x, w, *masks, self.basis, mixture.shape[1])

    def by_name(self) -> dict[str, Tensor]:
        """The weights by Asteroid's names and in its shapes."""
        found = {
            "encoder.filterbank._filters": self.filters[:, None],  # [N, 1, L]
            "decoder.filterbank._filters": self.basis[:, None],
            "masker.bottleneck.0.gamma": self.gain,
            "masker.bottleneck.0.beta": self.shift,
            "masker.bottleneck.1.weight": self.bottleneck[:, :, None],  # [B, N, 1]
            "masker.bottleneck.1.bias": self.bias_bottleneck,
            "masker.mask_net.0.weight": self.slope,
            "masker.mask_net.1.weight": self.conv_masks[:, :, None],
            "masker.mask_net.1.bias": self.bias_masks,
        }
        depthwise = "3.0" if self.options.causal else "3"  # before what cuts the end off, where it is causal
        for number, block in enumerate(self.blocks):
            shared = {
                "0.weight": block.conv_in[:, :, None],
                "0.bias": block.bias_in,
                "1.weight": block.slope_in,
                "2.gamma": block.gain_in,
                "2.beta": block.shift_in,
                f"{depthwise}.weight": block.taps.t()[:, None],  # [H, 1, P]
                f"{depthwise}.bias": block.bias_taps,
                "4.weight": block.slope_out,
                "5.gamma": block.gain_out,
                "5.beta": block.shift_out,
            }
            own = f"masker.TCN.{number}"
            found |= {f"{own}.shared_block.{name}": weight for name, weight in shared.items()}
            found |= {f"{own}.res_conv.weight": block.conv_out[:, :, None], f"{own}.res_conv.bias": block.bias_out}
        return {name: weight.detach() for name, weight in found.items()}


def save_weights(path: str | os.PathLike, net: ConvTasNet) -> None:
    """Write a network's weights as convert.py --source asteroid reads them. Raises UserError if that fails."""
    options = net.options
    meta = asdict(options) | {
        "source": "asteroid", "causal": bool(options.causal), "norm_type": options.norm_type, "Sc": 0, "P": P, "C": C,
        "mask_act": "relu", "enc_act": "relu", "stride": options.L // 2, "sample_rate": RATE,
    }  # fmt: skip
    arrays = {f"state/{name}": weight.cpu().numpy() for name, weight in net.by_name().items()}
    with whole_file(path) as partial, open(partial, "wb") as file:
        np.savez_compressed(file, meta=json.dumps(meta), **arrays)
