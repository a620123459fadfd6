"""Checkpoints: MindSpore's own .ckpt files that also carry what is needed to build the network again.

Beside the parameters stand, as strings, `network` (JSON of options.NetworkOptions), `sample_rate` (samples a second)
and `progress` (JSON: where a training run stood). The network's parameters have names such as
`separator.bottleneck.weight`; those of the optimiser begin with `optimizer.`.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import mindspore as ms
import numpy as np
from mindspore import nn

from common.errors import UserError
from common.files import whole_file
from network.options import NetworkOptions

# Weights that come with the project; checkpoints/README.md describes their data, training and results.
SHIPPED = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "checkpoints")


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds."""

    options: NetworkOptions
    sample_rate: int
    progress: dict
    parameters: dict[str, ms.Parameter]


def write_checkpoint(
    path: str | os.PathLike,
    net: nn.Cell,
    progress: dict | None = None,
    extra_parameters: Iterable[tuple[str, ms.Parameter]] = (),
) -> None:
    """Write a network to `path`, whole or not at all.

    Args:
        path: must end in .ckpt.
        net: model.ConvTasNet.
        progress: what a training run needs to go on, as far as JSON can express it.
        extra_parameters: pairs of a name and a parameter, the optimiser's state.

    Raises UserError if the folder cannot be written or the disk is full.
    """
    # By their place in the network: their own names change when another cell takes the network in.
    _write(path, net.options, net.sample_rate, progress or {}, [*net.parameters_and_names(), *extra_parameters])


def publish(source: str | os.PathLike, target: str | os.PathLike) -> None:
    """Write a checkpoint's network to `target`, without what training goes on from, and in float16: half the bytes.

    Raises UserError as `read_checkpoint` and `write_checkpoint` do, and if a number is too large for float16.
    """
    checkpoint = read_checkpoint(source)
    parameters = []
    for name, parameter in checkpoint.parameters.items():
        if not is_memory(name):
            with np.errstate(over="ignore"):
                half = parameter.asnumpy().astype(np.float16)
            if not np.isfinite(half).all():
                raise UserError(
                    f"{source}: {name} has numbers beyond 65504, the largest of float16; copy the file instead"
                )
            parameters.append((name, ms.Tensor(half)))
    _write(target, checkpoint.options, checkpoint.sample_rate, {}, parameters)


def _write(
    path: str | os.PathLike,
    options: NetworkOptions,
    sample_rate: int,
    progress: dict,
    parameters: Iterable[tuple[str, ms.Tensor]],
) -> None:
    """Write a checkpoint of pairs of a name and a parameter or tensor."""
    description = {
        "network": options.to_json(),
        "sample_rate": str(sample_rate),
        "progress": json.dumps(progress),
    }
    path = str(path)
    if not path.endswith(".ckpt"):
        raise UserError(f"{path}: MindSpore reads only checkpoints named .ckpt; name it so")
    with whole_file(path) as partial:
        ms.save_checkpoint([{"name": n, "data": p} for n, p in parameters], partial, append_dict=description)
        with open(partial, "rb") as file:
            os.fsync(file.fileno())  # so that a power cut leaves the file before or this one, and not an empty one


def read_checkpoint(path: str | os.PathLike) -> Checkpoint:
    """Read a checkpoint.

    Raises UserError if the file is missing, damaged or not a checkpoint of this project.
    """
    path = str(path)
    if not os.path.isfile(path):
        raise UserError(f"{path}: no such checkpoint")
    if not path.endswith(".ckpt"):
        raise UserError(f"{path}: checkpoints are named .ckpt; PyTorch's weights go through convert.py first")
    try:
        contents = ms.load_checkpoint(path)
    except (ValueError, RuntimeError, OSError):
        raise UserError(f"{path}: not a checkpoint, or cut short; copy it again or take an earlier one") from None
    try:
        options = NetworkOptions.from_json(contents.pop("network"))
        sample_rate = int(contents.pop("sample_rate"))
        progress = json.loads(contents.pop("progress"))
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path}: a checkpoint, but not one that train.py or convert.py wrote") from None
    return Checkpoint(options, sample_rate, progress, contents)


def path_or_shipped(path: str | None, causal: bool = False) -> str:
    """The checkpoint to take for --model_path: `path`, or else one of this project's own, whose name is printed."""
    if path:
        return path
    path = os.path.join(SHIPPED, "libri2mix_8k_causal.ckpt" if causal else "libri2mix_8k.ckpt")
    print(f"no --model_path: taking {path}, of two speakers at 8 kHz (README.md beside it)")
    return path


def restore(
    targets: Iterable[tuple[str, ms.Parameter]], parameters: Mapping[str, ms.Tensor], path: str | os.PathLike
) -> None:
    """Set parameters from a checkpoint's.

    Args:
        targets: pairs of a name in the checkpoint and the parameter to set.
        parameters: `Checkpoint.parameters`.
        path: of the checkpoint, for the message.

    Raises UserError if one is missing or has another shape.
    """
    for name, parameter in targets:
        stored = parameters.get(name)
        if stored is None:
            raise UserError(f"{path}: has no {name}; it is damaged, or from another version or another --optimizer")
        if stored.shape != parameter.shape:
            raise UserError(f"{path}: {name} has shape {stored.shape}, expected {parameter.shape}")
        parameter.set_data(ms.Tensor(stored.asnumpy(), parameter.dtype))


def is_memory(name: str) -> bool:
    """Whether a parameter of a checkpoint is the optimiser's or the moving average's, and not the network's."""
    return name.startswith(("optimizer.", "ema."))


def average_weights(paths: Sequence[str | os.PathLike]) -> dict[str, ms.Tensor]:
    """The mean of each of the network's parameters over several checkpoints, by name.

    Raises UserError as `read_checkpoint` does.
    """
    sums = {}
    for path in paths:
        for name, parameter in read_checkpoint(path).parameters.items():
            if not is_memory(name):
                sums[name] = sums.get(name, 0) + parameter.asnumpy().astype(np.float64)
    return {name: ms.Tensor((total / len(paths)).astype(np.float32)) for name, total in sums.items()}
