"""Bring weights of the best-known PyTorch implementations over.

    python convert.py --source asteroid IN.pth OUT.ckpt
    python convert.py --source torchaudio --mask_nonlinear relu conv_tasnet_base_libri2mix.pt OUT.ckpt

kaituoxu is github.com/kaituoxu/Conv-TasNet. A .pth, .pt or .bin file is read by PyTorch (an extra that only this
script needs), weights only, so that nothing in it is run. An .npz file holds `state/NAME` arrays and `meta`, JSON of
the source's arguments. Sizes are read off the weights; what weights cannot tell comes from the options, else from
the file's own arguments, else it is what the source's constructor takes by default, and is printed. A file of weights
alone states no arguments: torchaudio's own, CONVTASNET_BASE_LIBRI2MIX, has relu masks, which is not the default there.
"""

from common.signals import end_at_signals

if __name__ == "__main__":
    end_at_signals()  # what follows takes seconds

import argparse
import json
import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

from device import set_device

import mindspore as ms
import numpy as np

from common.command_line import parse, require_rate
from common.errors import UserError, first_line, run
from common.numbers import is_rate
from common.wording import print_line
from model import ConvTasNet
from network.checkpoint import write_checkpoint
from network.options import parameter_count
from network.ports import ARGUMENTS, DEFAULTS, SOURCES, Weights, stated_by_weights

# Under these a PyTorch file keeps a network's weights beside other things.
STATE_KEYS = ("state_dict", "model_state_dict", "model")
# DataParallel puts "module." before every name, Lightning "model.", torch.compile "_orig_mod."; each around the others.
WRAPPERS = r"^((module|model|_orig_mod)\.)+"


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(__doc__, "conversion", "device", argv=argv)
    check_options(args)
    set_device(args.device_target, args.device_id, args.jit_level, args.hf32)
    state, found = read_weights(args.in_file)
    net = build(args.source, state, choose_arguments(args, found), args.in_file)
    write_checkpoint(args.out_file, net)
    print_line(f"{args.out_file}: {args.source}'s network of {parameter_count(net)} parameters at {net.sample_rate} Hz")


def check_options(args: argparse.Namespace) -> None:
    """Raise UserError for options that make no sense, or that the source's weights or code settle themselves."""
    for name in ARGUMENTS:
        if getattr(args, name) is not None and name not in DEFAULTS[args.source]:
            raise UserError(f"--{name} {getattr(args, name)}: a {args.source} file needs no such option; leave it out")
    if args.sample_rate is not None:
        require_rate(args)


def build(source: str, state: Weights, arguments: Mapping[str, Any], path: str) -> ConvTasNet:
    """The network that a source's weights belong to, with these weights.

    Args:
        source: key of network.ports.SOURCES.
        state: arrays by the source's own names.
        arguments: what `choose_arguments` returned.
        path: of the file, for the message.

    Raises UserError if they are another network's weights, or if the network cannot be built here.
    """
    try:
        weights, options = SOURCES[source](state, arguments)
        sample_rate = int(arguments["sample_rate"])
        if not is_rate(sample_rate):
            raise ValueError(f"sample_rate {sample_rate}")
    except (KeyError, IndexError, TypeError, ValueError, ArithmeticError) as error:
        raise UserError(f"{path}: not weights of {source}'s Conv-TasNet ({error!r})") from None
    except UserError as error:
        raise UserError(f"{path}: its network cannot be built here ({error})") from None
    if unused := state.unused():
        raise UserError(f"{path}: {', '.join(unused[:3])} has no place in {source}'s Conv-TasNet; is --source right?")
    net = ConvTasNet(options, sample_rate)
    set_weights(net, weights, path)
    return net


def choose_arguments(args: argparse.Namespace, found: Mapping[str, Any]) -> dict[str, Any]:
    """What weights cannot tell, by our names: from the options, the file's arguments or the source's defaults.

    Returns it together with all that the file states. Prints where an option overrules the file, and each default.
    """
    chosen = dict(found)
    for name, default in DEFAULTS[args.source].items():
        in_file = next((key for key in ARGUMENTS[name] if key in found), None)
        if getattr(args, name) is not None:
            chosen[name] = getattr(args, name)
            if in_file is not None and found[in_file] != chosen[name]:
                print_line(f"{args.in_file}: says {in_file} {found[in_file]}; took {chosen[name]}, as --{name} says")
        elif in_file is not None:
            chosen[name] = found[in_file]
        else:
            chosen[name] = default
            print_line(f"{args.in_file}: does not tell {name}; took {default}, --{name} changes it")
    return chosen


def set_weights(net: ConvTasNet, weights: Mapping[str, np.ndarray], path: str) -> None:
    """Set every parameter of a network from arrays by name. Raises UserError unless names and shapes agree."""
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


def read_weights(path: str) -> tuple[Weights, dict[str, Any]]:
    """Read a file of weights: its arrays by the source's own names, and a dictionary of its arguments.

    Raises UserError if the file is missing, damaged or holds no weights.
    """
    if not os.path.isfile(path):
        raise UserError(f"{path}: no such file")
    state, arguments = _read_npz(path) if path.endswith(".npz") else _read_torch(path)
    if not state:
        raise UserError(f"{path}: holds no weights")
    for name, value in state.items():
        with np.errstate(over="ignore"):
            is_finite = np.isfinite(value.astype(np.float32)).all()
        if not is_finite:
            raise UserError(f"{path}: {name} has NaN, infinite or huge weights; convert a checkpoint from before that")
    return state, arguments | stated_by_weights(state)


def _read_npz(path: str) -> tuple[Weights, dict[str, Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            state = Weights((n.removeprefix("state/"), file[n]) for n in file.files if n.startswith("state/"))
            arguments = json.loads(str(file["meta"]))
    except Exception as error:  # numpy and zipfile raise whatever a damaged file leads to, MemoryError too
        raise UserError(f"{path}: not a whole .npz file of weights ({first_line(error)})") from None
    if not isinstance(arguments, dict):
        raise UserError(f"{path}: meta must be a JSON object of the source's arguments, not {str(arguments)[:20]!r}")
    for name, value in state.items():
        if value.dtype.kind not in "fiu":
            raise UserError(f"{path}: {name} is of {value.dtype}; weights are real numbers")
    return state, arguments


def _is_sound_zip(path: str) -> bool:
    """Whether a file of PyTorch's is a zip file, whose checksums PyTorch does not look at.

    Raises UserError if they do not hold.
    """
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as file:
            damaged = file.testzip()
    except Exception as error:  # zipfile raises whatever a damaged file leads to
        damaged = first_line(error)
    if damaged:
        raise UserError(f"{path}: damaged, its checksums do not hold ({damaged}); copy it again, or torch.save it anew")
    return True


def _read_torch(path: str) -> tuple[Weights, dict[str, Any]]:
    try:
        import torch
    except ImportError:
        raise UserError(f"{path}: reading it needs PyTorch; pip install torch, or convert it to .npz") from None
    has_checksums = _is_sound_zip(path)
    try:
        # Asteroid's files tell PyTorch's version, a kind of string that has to be allowed by name.
        with torch.serialization.safe_globals([torch.torch_version.TorchVersion]):
            package = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises whatever its unpickler meets
        raise UserError(
            f"{path}: not weights that PyTorch reads safely; copy it again, or torch.save its state_dict alone"
        ) from None
    if not has_checksums:
        print_line(f"{path}: has no checksums, as files of PyTorch before 1.6; damage would not be seen")
    if not isinstance(package, dict):
        raise UserError(f"{path}: holds no dictionary of weights; torch.save the network's state_dict alone")
    state = next((package[key] for key in STATE_KEYS if isinstance(package.get(key), dict)), package)
    stated = package.get("model_args")
    arguments = {} if state is package else package | (stated if isinstance(stated, dict) else {})
    tensors = {name: value for name, value in state.items() if torch.is_tensor(value)}
    weights = {re.sub(WRAPPERS, "", str(name)): value for name, value in tensors.items()}
    if len(weights) < len(tensors):
        raise UserError(f"{path}: holds more than one network; torch.save the state_dict of the one alone")
    return Weights((name, value.detach().float().numpy()) for name, value in weights.items()), arguments


if __name__ == "__main__":
    run(main)
