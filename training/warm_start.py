"""Begins a run with the weights of another network, as far as they fit: `train.py --init_from`."""

from collections.abc import Sequence
from dataclasses import asdict

import mindspore as ms
import numpy as np

from common.errors import UserError
from model import ConvTasNet
from network.checkpoint import is_memory, read_checkpoint, restore
from network.options import NetworkOptions


def begin_with(path: str, net: ConvTasNet) -> list[str]:
    """Give a network the weights of a checkpoint, as far as they fit, and nothing else.

    A causal network takes those of one that looks ahead without the taps that do. One of more X or R begins with what
    the smaller one computes: the blocks in between add nothing.

    Returns lines that name what was taken and what was not. Raises UserError if the file cannot be read, or if nothing
    in it fits.
    """
    checkpoint = read_checkpoint(path)
    parameters, new = at_their_dilations(checkpoint.parameters, checkpoint.options, net.options)
    if net.options.causal and not checkpoint.options.causal:
        parameters = without_look_ahead(parameters)
    lines = restore_fitting(list(net.parameters_and_names()), parameters, path)
    there, here = (asdict(options) for options in (checkpoint.options, net.options))
    there["sample_rate"], here["sample_rate"] = checkpoint.sample_rate, net.sample_rate
    lines += [f"{path}: had {name} {there[name]}, here {here[name]}" for name in here if there[name] != here[name]]
    for number in new:
        net.separator.blocks[number].add_nothing()
        lines.append(f"{path}: has no block {number}, which adds nothing at first")
    return lines


def restore_fitting(
    targets: Sequence[tuple[str, ms.Parameter]], parameters: dict[str, np.ndarray], path: str
) -> list[str]:
    """Set those parameters for which a checkpoint has one of the same name and shape; the others stay as they are.

    Takes what `restore` takes. Returns lines that name what was taken and what was not. Raises UserError if nothing
    fits.
    """
    stored_shapes = {name: tuple(parameter.shape) for name, parameter in parameters.items() if not is_memory(name)}
    fitting = [(name, parameter) for name, parameter in targets if stored_shapes.get(name) == tuple(parameter.shape)]
    if not fitting:
        raise UserError(f"{path}: none of its layers has the shape of one of this network; leave --init_from out")
    restore(fitting, parameters, path)
    lines = [f"{path}: began with its weights, {len(fitting)} of the {len(targets)} of this network"]
    fitted = {name for name, _ in fitting}
    for name, parameter in targets:
        if name not in fitted:
            there = f"has it of shape {stored_shapes[name]}" if name in stored_shapes else "has none"
            lines.append(f"{path}: {there}: {name} {tuple(parameter.shape)} begins anew")
    names = dict(targets)
    unused = [name for name in stored_shapes if name not in names]
    return [*lines, *(f"{path}: {name} has no place in this network" for name in unused)]


def at_their_dilations(
    parameters: dict[str, np.ndarray], there: NetworkOptions, here: NetworkOptions
) -> tuple[dict[str, np.ndarray], list[int]]:
    """`Checkpoint.parameters` for a network of other X or R: each block at the place of its repeat and dilation.

    Args:
        parameters: as the checkpoint has them.
        there, here: NetworkOptions of the checkpoint and of the network.

    Returns the parameters, those of blocks that have no place here under names that say so, and the numbers of the
    blocks that the checkpoint lacks.
    """
    moved = {}
    for name, parameter in parameters.items():
        if name.startswith("separator.blocks."):
            number, rest = name.removeprefix("separator.blocks.").split(".", 1)
            repeat, place = divmod(int(number), there.X)
            if repeat < here.R and place < here.X:
                name = f"separator.blocks.{repeat * here.X + place}.{rest}"
            else:
                name = f"{name} (of X {there.X}, R {there.R})"
        moved[name] = parameter
    numbers = range(here.R * here.X)
    return moved, [number for number in numbers if number // here.X >= there.R or number % here.X >= there.X]


def without_look_ahead(parameters: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """`Checkpoint.parameters` for a causal network: each depthwise tap hears the frame that it heard before, and those
    that would look ahead are gone. The first taps, which now reach further back, begin with zeros.
    """
    moved = dict(parameters)
    for name, taps in parameters.items():
        if name.endswith("depthwise.weight"):  # [P, H], from the earliest frame to the latest
            ahead = len(taps) // 2
            moved[name] = np.concatenate([np.zeros_like(taps[:ahead]), taps[: len(taps) - ahead]])
    return moved
