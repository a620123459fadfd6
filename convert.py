"""Bring weights of the best-known PyTorch implementations over.

    python convert.py --source asteroid IN.pth OUT.ckpt
    python convert.py --source torchaudio --mask_nonlinear relu conv_tasnet_base_libri2mix.pt OUT.ckpt

kaituoxu is github.com/kaituoxu/Conv-TasNet. A .pth, .pt or .bin file is read by PyTorch (an extra that only this
script needs), weights only, so that nothing in it is run. An .npz file holds `state/NAME` arrays and `meta`, JSON of
the source's arguments. Sizes are read off the weights; what weights cannot tell comes from the options, else from
the file's own arguments, else it is what the source's constructor takes by default, and is printed. A file of weights
alone says nothing: torchaudio's own, of CONVTASNET_BASE_LIBRI2MIX, has relu masks, which is not the default there.
"""

import json
import os
import zipfile

from device import set_device

import mindspore as ms
import numpy as np

from checkpoint import write_checkpoint
from common.errors import UserError, run
from config import NetworkOptions, parse, require_positive
from model import ConvTasNet, parameter_count

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


def main(argv=None):
    args = parse(__doc__, "conversion", "device", argv=argv)
    check(args)
    set_device(args.device_target, args.device_id)
    state, found = read_weights(args.in_file)
    net = build(args.source, state, choose_arguments(args, found), found.get("stride"), args.in_file)
    write_checkpoint(args.out_file, net)
    print(f"{args.out_file}: {args.source}'s network of {parameter_count(net)} parameters at {net.sample_rate} Hz")


def check(args):
    """Raise UserError for options that make no sense, or that the source's weights or code settle themselves."""
    for name in ARGUMENTS:
        if getattr(args, name) is not None and name not in DEFAULTS[args.source]:
            raise UserError(f"--{name} {getattr(args, name)}: a {args.source} file needs no such option; leave it out")
    if args.sample_rate is not None:
        require_positive(args, "sample_rate")


def build(source, state, arguments, stride, path):
    """The network that a source's weights are of, with them.

    Args:
        source: key of SOURCES.
        state: Weights.
        arguments: of `choose_arguments`.
        stride: samples from frame to frame, None if the file does not tell.
        path: of the file, for the message.

    Returns model.ConvTasNet. Raises UserError if they are another network's weights, or it cannot be built here.
    """
    try:
        weights, options = SOURCES[source](state, arguments)
        sample_rate = int(arguments["sample_rate"])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not weights of {source}'s Conv-TasNet ({error!r})") from None
    except UserError as error:
        raise UserError(f"{path}: its network cannot be built here ({error})") from None
    unused = sorted(name for name in state.keys() - state.used if not name.endswith("num_batches_tracked"))
    if unused:
        raise UserError(f"{path}: {', '.join(unused[:3])} has no place in {source}'s Conv-TasNet; is --source right?")
    if stride not in (None, options.hop):
        raise UserError(f"{path}: its frames of {options.L} samples are {stride} apart; here that is always half")
    net = ConvTasNet(options, sample_rate)
    set_weights(net, weights, path)
    return net


class Weights(dict):
    """Arrays by their names, and which of them were used."""

    def __init__(self, *args):
        super().__init__(*args)
        self.used = set()

    def __getitem__(self, name):
        self.used.add(name)
        return super().__getitem__(name)


def choose_arguments(args, found):
    """What weights cannot tell, by our names: from the options, the file's arguments or the source's defaults."""
    chosen = {}
    for name, default in DEFAULTS[args.source].items():
        in_file = next((key for key in ARGUMENTS[name] if key in found), None)
        if getattr(args, name) is not None:
            chosen[name] = getattr(args, name)
            if in_file is not None and found[in_file] != chosen[name]:
                print(f"{args.in_file}: says {in_file} {found[in_file]}; took {chosen[name]}, as --{name} says")
        elif in_file is not None:
            chosen[name] = found[in_file]
        else:
            chosen[name] = default
            print(f"{args.in_file}: does not tell {name}; took {default}, --{name} changes it")
    return chosen


def set_weights(net, weights, path):
    """Set every parameter of a network from numpy arrays by name; UserError unless names and shapes agree."""
    parameters = dict(net.parameters_and_names())
    if parameters.keys() != weights.keys():
        name = min(parameters.keys() ^ weights.keys())
        where = "the network" if name in parameters else "the file"
        raise UserError(f"{path}: only {where} has {name}; are --source and --norm_type right?")
    for name, parameter in parameters.items():
        value = weights[name]
        if value.shape != parameter.shape:
            raise UserError(f"{path}: {name} has shape {value.shape}, expected {parameter.shape}")
        parameter.set_data(ms.Tensor(value.astype(np.float32)))


def from_kaituoxu(state, arguments):
    """No biases, no skip path, no PReLU before the masks; the first norm is cLN whatever norm_type says."""
    N, _, L = state["encoder.conv1d_U.weight"].shape
    block = "separator.network.2.{}.{}.net."
    R = 1 + max(int(name.split(".")[3]) for name in state if name.startswith("separator.network.2."))
    X = 1 + max(int(name.split(".")[4]) for name in state if name.startswith("separator.network.2."))
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


def from_asteroid(state, arguments):
    """Biases, a PReLU before the masks, the encoder's ReLU by choice; the last residual of a skip path is unused."""
    N, _, L = state["encoder.filterbank._filters"].shape
    masker = "masker."
    count = 1 + max(int(name.split(".")[2]) for name in state if name.startswith("masker.TCN."))
    causal = "masker.TCN.0.shared_block.3.0.weight" in state
    has_skip = "masker.TCN.0.skip_conv.weight" in state
    weights = {
        "encoder.weight": state["encoder.filterbank._filters"][:, 0],
        "decoder.weight": state["decoder.filterbank._filters"][:, 0],
        **norm(state, masker + "bottleneck.0.", "separator.norm."),
        **conv(state, masker + "bottleneck.1.", "separator.bottleneck."),
        "separator.prelu.slope": state[masker + "mask_net.0.weight"],
        **conv(state, masker + "mask_net.1.", "separator.conv_masks."),
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


def from_torchaudio(state, arguments):
    """Biases, a skip path, a PReLU before the masks, no ReLU after the encoder, gLN, a hop of zeros at both ends."""
    N, _, L = state["encoder.weight"].shape
    generator = "mask_generator."
    count = 1 + max(int(name.split(".")[2]) for name in state if name.startswith("mask_generator.conv_layers."))
    weights = {
        "encoder.weight": state["encoder.weight"][:, 0],
        "decoder.weight": state["decoder.weight"][:, 0],
        **norm(state, generator + "input_norm.", "separator.norm."),
        **conv(state, generator + "input_conv.", "separator.bottleneck."),
        "separator.prelu.slope": state[generator + "output_prelu.weight"],
        **conv(state, generator + "output_conv.", "separator.conv_masks."),
    }
    for i in range(count):
        old, new = f"mask_generator.conv_layers.{i}.", f"separator.blocks.{i}."
        weights |= first_layers(state, old + "conv_layers.", "3.", new)
        weights |= conv(state, old + "skip_out.", new + "conv_skip.")
        if i < count - 1:
            weights |= conv(state, old + "res_out.", new + "conv_residual.")
    return weights, with_biases(weights, count, arguments, L=L, encoder_relu=0, padding="both")


def with_biases(weights, count, arguments, **others):
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


def first_layers(state, old, depthwise_name, new):
    """A block up to its second norm, by our names; Asteroid and torchaudio number its layers alike."""
    return {
        **conv(state, old + "0.", new + "conv_in."),
        new + "prelu_in.slope": state[old + "1.weight"],
        **norm(state, old + "2.", new + "norm_in."),
        **depthwise(state, old + depthwise_name, new + "depthwise."),
        new + "prelu_out.slope": state[old + "4.weight"],
        **norm(state, old + "5.", new + "norm_out."),
    }


def conv(state, old, new):
    """Weight and bias of a 1x1 convolution, by our names: [outputs, inputs, 1] -> [outputs, inputs]."""
    return {new + "weight": state[old + "weight"][:, :, 0], new + "bias": state[old + "bias"]}


def depthwise(state, old, new):
    """Weight and bias of a depthwise convolution, by our names: [H, 1, P] -> [P, H]."""
    return {new + "weight": state[old + "weight"][:, 0].T, new + "bias": state[old + "bias"]}


def norm(state, old, new):
    """Gain, bias and, for BN, running statistics of a norm, by our names: [channels]."""
    theirs = ("gamma", "beta") if old + "gamma" in state else ("weight", "bias")
    found = {new + "gain": state[old + theirs[0]].reshape(-1), new + "bias": state[old + theirs[1]].reshape(-1)}
    if old + "running_mean" in state:
        found[new + "running_mean"] = state[old + "running_mean"]
        found[new + "running_variance"] = state[old + "running_var"]
    return found


SOURCES = {"kaituoxu": from_kaituoxu, "asteroid": from_asteroid, "torchaudio": from_torchaudio}


def read_weights(path):
    """Read a file of weights: `Weights` by the source's own names, and a dictionary of its arguments.

    Raises UserError if the file is missing, damaged or holds no weights.
    """
    if not os.path.isfile(path):
        raise UserError(f"{path}: no such file")
    state, arguments = _read_npz(path) if path.endswith(".npz") else _read_torch(path)
    if not state:
        raise UserError(f"{path}: holds no weights")
    if any(name.endswith("running_mean") for name in state):
        arguments = {**arguments, "norm_type": "BN"}  # no other norm has it
    return state, arguments


def _read_npz(path):
    try:
        with np.load(path, allow_pickle=False) as file:
            state = Weights((n.removeprefix("state/"), file[n]) for n in file.files if n.startswith("state/"))
            return state, json.loads(str(file["meta"]))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise UserError(f"{path}: not a whole .npz file of weights ({error})") from None


def _read_torch(path):
    try:
        import torch
    except ImportError:
        raise UserError(f"{path}: reading it needs PyTorch; pip install torch, or convert it to .npz") from None
    try:
        # Asteroid's files tell PyTorch's version, a kind of string that has to be allowed by name.
        with torch.serialization.safe_globals([torch.torch_version.TorchVersion]):
            package = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises whatever its unpickler meets
        raise UserError(
            f"{path}: not weights that PyTorch reads safely; copy it again, or torch.save its state_dict alone"
        ) from None
    state = package.get("state_dict", package) if isinstance(package, dict) else None
    if not isinstance(state, dict):
        raise UserError(f"{path}: holds no dictionary of weights; torch.save the network's state_dict alone")
    arguments = {} if state is package else {**package, **(package.get("model_args") or {})}
    # DataParallel puts "module." before every name, Lightning "model.".
    weights = {
        str(name).removeprefix("module.").removeprefix("model."): value
        for name, value in state.items()
        if torch.is_tensor(value)
    }
    return Weights((name, value.detach().float().numpy()) for name, value in weights.items()), arguments


if __name__ == "__main__":
    run(main)
