"""What is known of each foreign implementation: its names of the weights, its layout of them, its defaults.

Each function of SOURCES takes the arrays of a file by the source's own names, and the source's arguments: those of
ARGUMENTS by our names, and by their own what else the file holds. It returns the same arrays by the names of this
project, in its layout, and the options of their network. What is no network of that source raises KeyError, IndexError,
TypeError or ValueError; what has no equal here, UserError.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from common.errors import UserError
from network.options import NetworkOptions

Arrays = Mapping[str, np.ndarray]
Converted = tuple[dict[str, np.ndarray], NetworkOptions]

# What weights cannot tell: the names that the sources' files give it.
ARGUMENTS = {
    "X": ("X", "n_blocks"),
    "norm_type": ("norm_type",),
    "mask_nonlinear": ("mask_nonlinear", "mask_act"),
    "encoder_relu": ("enc_act", "encoder_activation"),
    "sample_rate": ("sample_rate",),
}
# What each source's constructor takes by default.
DEFAULTS = {
    "kaituoxu": {"norm_type": "gLN", "mask_nonlinear": "relu", "sample_rate": 8000},
    "asteroid": {"X": 8, "norm_type": "gLN", "mask_nonlinear": "sigmoid", "encoder_relu": None, "sample_rate": 8000},
    "torchaudio": {"X": 8, "mask_nonlinear": "sigmoid", "sample_rate": 8000},
}
# Asteroid's other names for its norms.
ASTEROID_NORMS = {"GlobLN": "gLN", "ChanLN": "cLN", "CumLN": "cgLN", "bN": "BN", "BatchNorm": "BN"}


class Weights(dict[str, np.ndarray]):
    """Arrays by their names, and which of them were used."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        self.used: set[str] = set()

    def __getitem__(self, name: str) -> np.ndarray:
        self.used.add(name)
        return super().__getitem__(name)

    def unused(self) -> list[str]:
        """Names of the arrays that nothing asked for, but for the batches that PyTorch's BatchNorm counts."""
        return sorted(name for name in self.keys() - self.used if not name.endswith("num_batches_tracked"))


def stated_by_weights(state: Arrays) -> dict[str, str]:
    """The arguments that weights can tell after all: only batch normalisation has running statistics."""
    return {"norm_type": "BN"} if any(name.endswith("running_mean") for name in state) else {}


def from_kaituoxu(state: Arrays, arguments: Mapping[str, Any]) -> Converted:
    """No biases, no skip path, no PReLU before the masks; the first norm is cLN whatever norm_type says."""
    N, _, L = state["encoder.conv1d_U.weight"].shape
    block = "separator.network.2.{}.{}.net."
    R, X = parts_of(state, "separator.network.2."), parts_of(state, "separator.network.2.0.")
    # A causal depthwise convolution is followed by a cell that cuts its tail off, which shifts the numbers after it.
    causal = "separator.network.2.0.0.net.3.net.4.weight" in state
    weights = {
        "encoder.weight": state["encoder.conv1d_U.weight"][:, 0],  # [N, L]
        "decoder.weight": state["decoder.basis_signals.weight"].T,  # [N, L]
        "separator.bottleneck.weight": state["separator.network.1.weight"][:, :, 0],
        "separator.conv_masks.weight": state["separator.network.3.weight"][:, :, 0],
        **norm(state, "separator.network.0.", "separator.norm."),
    }
    for r, x in np.ndindex(R, X):
        old, new = block.format(r, x), f"separator.blocks.{r * X + x}."
        after = old + ("3.net.2." if causal else "3.net.1.")
        later = [old + f"3.net.{i + causal}." for i in (2, 3)]
        weights |= {
            new + "conv_in.weight": state[old + "0.weight"][:, :, 0],
            new + "prelu_in.slope": state[old + "1.weight"],
            **norm(state, old + "2.", new + "norm_in."),
            new + "depthwise.weight": state[old + "3.net.0.weight"][:, 0].T,  # [P, H]
            new + "prelu_out.slope": state[after + "weight"],
            **norm(state, later[0], new + "norm_out."),
            new + "conv_residual.weight": state[later[1] + "weight"][:, :, 0],
        }
    H, B = weights["separator.blocks.0.conv_in.weight"].shape
    options = NetworkOptions(
        N=N, L=L, B=B, H=H, P=len(weights["separator.blocks.0.depthwise.weight"]), X=X, R=R,
        C=len(weights["separator.conv_masks.weight"]) // N,
        norm_type=arguments["norm_type"], input_norm="cLN", causal=int(causal),
        mask_nonlinear=arguments["mask_nonlinear"], padding="none",
    )  # fmt: skip
    return weights, options


def from_asteroid(state: Arrays, arguments: Mapping[str, Any]) -> Converted:
    """Biases, a PReLU before the masks, the encoder's ReLU by choice; the last residual of a skip path is unused."""
    _, _, L = state["encoder.filterbank._filters"].shape
    stride = arguments.get("stride")
    if stride not in (None, L // 2):
        raise UserError(f"frames of {L} samples are {stride} apart; here that is always half")
    count = parts_of(state, "masker.TCN.")
    causal = "masker.TCN.0.shared_block.3.0.weight" in state
    has_skip = "masker.TCN.0.skip_conv.weight" in state
    weights = {
        "encoder.weight": state["encoder.filterbank._filters"][:, 0],
        "decoder.weight": state["decoder.filterbank._filters"][:, 0],
        **norm(state, "masker.bottleneck.0.", "separator.norm."),
        **conv(state, "masker.bottleneck.1.", "separator.bottleneck."),
        "separator.prelu.slope": state["masker.mask_net.0.weight"],
        **conv(state, "masker.mask_net.1.", "separator.conv_masks."),
    }
    for i in range(count):
        old, new = f"masker.TCN.{i}.", f"separator.blocks.{i}."
        weights |= first_layers(state, old + "shared_block.", "3.0." if causal else "3.", new)
        if has_skip:
            weights |= conv(state, old + "skip_conv.", new + "conv_skip.")
        residual = conv(state, old + "res_conv.", new + "conv_residual.")
        if i < count - 1 or not has_skip:
            weights |= residual
    norm_type = ASTEROID_NORMS.get(arguments["norm_type"], arguments["norm_type"])
    encoder_relu = {None: 0, "linear": 0, 0: 0, "relu": 1, 1: 1}[arguments["encoder_relu"]]
    return weights, with_biases(
        weights, count, arguments, L=L, norm_type=norm_type, causal=int(causal), encoder_relu=encoder_relu,
        padding="none",
    )  # fmt: skip


def from_torchaudio(state: Arrays, arguments: Mapping[str, Any]) -> Converted:
    """Biases, a skip path, a PReLU before the masks, no ReLU after the encoder, gLN, a hop of zeros at both ends."""
    _, _, L = state["encoder.weight"].shape
    count = parts_of(state, "mask_generator.conv_layers.")
    weights = {
        "encoder.weight": state["encoder.weight"][:, 0],
        "decoder.weight": state["decoder.weight"][:, 0],
        **norm(state, "mask_generator.input_norm.", "separator.norm."),
        **conv(state, "mask_generator.input_conv.", "separator.bottleneck."),
        "separator.prelu.slope": state["mask_generator.output_prelu.weight"],
        **conv(state, "mask_generator.output_conv.", "separator.conv_masks."),
    }
    for i in range(count):
        old, new = f"mask_generator.conv_layers.{i}.", f"separator.blocks.{i}."
        weights |= first_layers(state, old + "conv_layers.", "3.", new)
        weights |= conv(state, old + "skip_out.", new + "conv_skip.")
        if i < count - 1:
            weights |= conv(state, old + "res_out.", new + "conv_residual.")
    return weights, with_biases(weights, count, arguments, L=L, encoder_relu=0, padding="both")


def parts_of(state: Arrays, prefix: str) -> int:
    """How many parts, numbered from 0, a source's list of this name has."""
    return 1 + max(int(name.removeprefix(prefix).split(".")[0]) for name in state if name.startswith(prefix))


def with_biases(weights: Arrays, count: int, arguments: Mapping[str, Any], **others: Any) -> NetworkOptions:
    """The options of a network of `count` blocks with biases and a PReLU before the masks, off its weights' shapes."""
    N = len(weights["encoder.weight"])
    H, B = weights["separator.blocks.0.conv_in.weight"].shape
    X = arguments["X"]
    if X < 1 or count % X:
        raise UserError(f"--X {X}: the file has {count} blocks, which X must divide")
    return NetworkOptions(
        N=N, B=B, H=H, P=len(weights["separator.blocks.0.depthwise.weight"]), X=X, R=count // X,
        C=len(weights["separator.conv_masks.weight"]) // N,
        Sc=len(weights.get("separator.blocks.0.conv_skip.weight", ())),
        bias=1, mask_prelu=1, mask_nonlinear=arguments["mask_nonlinear"], **others,
    )  # fmt: skip


def first_layers(state: Arrays, old: str, depthwise_name: str, new: str) -> dict[str, np.ndarray]:
    """A block up to its second norm, by our names; Asteroid and torchaudio number its layers alike."""
    return {
        **conv(state, old + "0.", new + "conv_in."),
        new + "prelu_in.slope": state[old + "1.weight"],
        **norm(state, old + "2.", new + "norm_in."),
        **depthwise(state, old + depthwise_name, new + "depthwise."),
        new + "prelu_out.slope": state[old + "4.weight"],
        **norm(state, old + "5.", new + "norm_out."),
    }


def conv(state: Arrays, old: str, new: str) -> dict[str, np.ndarray]:
    """Weight and bias of a 1x1 convolution, by our names: [outputs, inputs, 1] -> [outputs, inputs]."""
    return {new + "weight": state[old + "weight"][:, :, 0], new + "bias": state[old + "bias"]}


def depthwise(state: Arrays, old: str, new: str) -> dict[str, np.ndarray]:
    """Weight and bias of a depthwise convolution, by our names: [H, 1, P] -> [P, H]."""
    return {new + "weight": state[old + "weight"][:, 0].T, new + "bias": state[old + "bias"]}


def norm(state: Arrays, old: str, new: str) -> dict[str, np.ndarray]:
    """Gain, bias and, for BN, running statistics of a norm, by our names: [channels]."""
    theirs = ("gamma", "beta") if old + "gamma" in state else ("weight", "bias")
    found = {new + "gain": state[old + theirs[0]].reshape(-1), new + "bias": state[old + theirs[1]].reshape(-1)}
    if old + "running_mean" in state:
        found[new + "running_mean"] = state[old + "running_mean"]
        found[new + "running_variance"] = state[old + "running_var"]
    return found


SOURCES = {"kaituoxu": from_kaituoxu, "asteroid": from_asteroid, "torchaudio": from_torchaudio}
