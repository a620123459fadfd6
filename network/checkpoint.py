"""Checkpoints: MindSpore's own .ckpt files that also carry what is needed to build the network again.

Beside the parameters stand, as strings, `network` (JSON of options.NetworkOptions), `sample_rate` (samples a second)
and `progress` (JSON: where a training run stood). The network's parameters have names such as
`separator.bottleneck.weight`; those of the optimiser begin with `optimizer.`. The file ends with MindSpore's CRC-32 of
all that stands before, which files of earlier versions lack.

They are written by MindSpore, and read without it: importing it takes longer than separating a short recording.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from google.protobuf.message import DecodeError

from common.errors import UserError, first_line
from common.files import whole_file
from common.numbers import is_rate
from common.wording import print_line
from network.checkpoint_message import CheckpointMessage
from network.options import NetworkOptions

if TYPE_CHECKING:
    import mindspore as ms
    from mindspore import nn

# Weights that come with the project; checkpoints/README.md describes their data, training and results.
SHIPPED = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "checkpoints")
CHECKSUM_MARK, CHECKSUM_BYTES = b"crc_num", 10  # what follows the contents: this name, then a number, big-endian
# How PyTorch's files begin: zip archives now, before 1.6 pickles of its magic number.
OF_PYTORCH = (b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19")


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds."""

    options: NetworkOptions
    sample_rate: int
    progress: dict
    parameters: dict[str, np.ndarray]


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
    import mindspore as ms

    checkpoint = read_checkpoint(source)
    parameters = []
    for name, parameter in checkpoint.parameters.items():
        if not is_memory(name):
            with np.errstate(over="ignore"):
                half = parameter.astype(np.float16)
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
    import mindspore as ms

    description = {
        "network": options.to_json(),
        "sample_rate": str(sample_rate),
        "progress": json.dumps(progress),
    }
    path = str(path)
    if not path.endswith(".ckpt"):
        raise UserError(f"{path}: MindSpore reads only checkpoints named .ckpt; name it so")
    with whole_file(path) as partial:
        objects = [{"name": name, "data": parameter} for name, parameter in parameters]
        ms.save_checkpoint(objects, partial, append_dict=description, crc_check=True)
        with open(partial, "rb") as file:
            os.fsync(file.fileno())  # so that a power cut leaves the file before or this one, and not an empty one


def read_checkpoint(path: str | os.PathLike) -> Checkpoint:
    """Read a checkpoint. Prints the name of one that carries no checksum, the first time.

    Raises UserError if the file is missing, damaged or not a checkpoint of this project.
    """
    path = str(path)
    if not os.path.isfile(path):
        raise UserError(f"{path}: no such checkpoint")
    if not path.endswith(".ckpt"):
        raise UserError(f"{path}: checkpoints are named .ckpt; PyTorch's weights go through convert.py first")
    contents = _contents(path, _checked_bytes(path))
    try:
        options = NetworkOptions.from_json(contents.pop("network"))
        sample_rate = int(contents.pop("sample_rate"))
        progress = json.loads(contents.pop("progress"))
    except UserError as error:
        raise UserError(f"{path}: states a network that cannot be ({first_line(error)}); take another file") from None
    except (KeyError, TypeError, ValueError, RecursionError):
        raise UserError(f"{path}: a checkpoint, but not one that train.py or convert.py wrote") from None
    are_arrays = all(isinstance(parameter, np.ndarray) for parameter in contents.values())
    if not is_rate(sample_rate) or not isinstance(progress, dict) or not are_arrays:
        raise UserError(f"{path}: a checkpoint, but not one that train.py or convert.py wrote")
    _check_sizes(path, options, contents)
    return Checkpoint(options, sample_rate, progress, contents)


def _checked_bytes(path: str) -> bytes:
    """A file's bytes without its checksum.

    Raises UserError for what PyTorch wrote, and if they are not those that the checksum was taken of.
    """
    try:
        with open(path, "rb") as file:
            contents = memoryview(file.read())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); is there permission?") from None
    if bytes(contents[:14]).startswith(OF_PYTORCH):
        raise UserError(f"{path}: holds PyTorch's weights; python convert.py --source NAME {path} OUT.ckpt first")
    body, mark = contents[: -CHECKSUM_BYTES - len(CHECKSUM_MARK)], contents[-CHECKSUM_BYTES - len(CHECKSUM_MARK) :]
    has_checksum = mark[: len(CHECKSUM_MARK)] == CHECKSUM_MARK
    if has_checksum:
        is_whole = int.from_bytes(mark[len(CHECKSUM_MARK) :], "big") == zlib.crc32(body)
    else:
        is_whole = _is_as_its_card_says(path, contents)
    if not is_whole:
        raise UserError(f"{path}: damaged, its checksum is another; copy it again or take an earlier one")
    return bytes(body if has_checksum else contents)


def _is_as_its_card_says(path: str, contents: memoryview) -> bool:
    """Whether a file without a checksum may be taken: False for one that comes with the project and has changed."""
    card = ""
    with suppress(OSError), open(os.path.join(SHIPPED, "README.md"), encoding="utf-8") as file:
        card = file.read()
    if hashlib.sha256(contents).hexdigest() in card:
        return True
    folder, name = os.path.split(os.path.realpath(path))
    if folder == os.path.realpath(SHIPPED) and f"## {name}\n" in card:
        return False
    _say_that_it_has_none(path)
    return True


@functools.cache
def _say_that_it_has_none(path: str) -> None:
    print_line(f"{path}: has no checksum, as files of earlier versions; damage would not be seen")


def _contents(path: str, stored: bytes) -> dict[str, str | np.ndarray]:
    """The texts and arrays of a checkpoint, by name. Raises UserError if an array has not the bytes of its shape."""
    contents, parts = {}, {}
    try:
        for element in CheckpointMessage.FromString(stored).value:
            name, array = element.tag, element.tensor
            if not isinstance(name, str):  # protobuf gives bytes where they are no UTF-8
                raise ValueError(name)
            if array.tensor_type == "str":
                contents[name] = array.tensor_content.decode("utf-32-le")  # as numpy keeps text
            else:  # large ones are stored in slices
                shape, kind, held = parts.get(name, (tuple(array.dims), np.dtype(array.tensor_type.lower()), []))
                parts[name] = shape, kind, [*held, array.tensor_content]
    except (DecodeError, TypeError, ValueError):
        raise UserError(f"{path}: not a checkpoint, or cut short; copy it again or take an earlier one") from None
    for name, (shape, kind, held) in parts.items():
        length, needed = sum(map(len, held)), math.prod(shape) * kind.itemsize
        if length != needed:
            raise UserError(f"{path}: damaged, {name} has {length} bytes, and its shape needs {needed}")
        contents[name] = np.frombuffer(b"".join(held), kind).reshape(shape)
    return contents


def _check_sizes(path: str, options: NetworkOptions, parameters: Mapping[str, np.ndarray]) -> None:
    """Raise UserError unless a file's arrays are of the sizes that it states, before a network is built of these."""
    blocks = len({name.split(".")[2] for name in parameters if name.startswith("separator.blocks.")})
    if blocks != options.R * options.X:
        raise UserError(f"{path}: damaged, has {blocks} blocks, and its options say R {options.R}, X {options.X}")
    for name, shape in options.shapes.items():
        _array(parameters, name, shape, path)


def path_or_shipped(path: str | None, causal: bool = False) -> str:
    """The checkpoint to take for --model_path: `path`, or else one of this project's own, whose name is printed."""
    if path:
        return path
    path = os.path.join(SHIPPED, "libri2mix_8k_causal.ckpt" if causal else "libri2mix_8k.ckpt")
    print_line(f"no --model_path: taking {path}, of two speakers at 8 kHz (README.md beside it)")
    return path


def restore(
    targets: Iterable[tuple[str, ms.Parameter]], parameters: Mapping[str, np.ndarray], path: str | os.PathLike
) -> None:
    """Set parameters from a checkpoint's.

    Args:
        targets: pairs of a name in the checkpoint and the parameter to set.
        parameters: `Checkpoint.parameters`.
        path: of the checkpoint, for the message.

    Raises UserError if one is missing or has another shape.
    """
    import mindspore as ms

    for name, parameter in targets:
        parameter.set_data(ms.Tensor(_array(parameters, name, parameter.shape, path), parameter.dtype))


def _array(parameters: Mapping[str, np.ndarray], name: str, shape: tuple, path: str | os.PathLike) -> np.ndarray:
    """The array of a name. Raises UserError if it is missing or has another shape."""
    if name not in parameters:
        raise UserError(f"{path}: has no {name}; it is damaged, or from another version or another --optimizer")
    if parameters[name].shape != shape:
        raise UserError(f"{path}: {name} has shape {parameters[name].shape}, expected {shape}")
    return parameters[name]


def is_memory(name: str) -> bool:
    """Whether a parameter of a checkpoint is the optimiser's or the moving average's, and not the network's."""
    return name.startswith(("optimizer.", "ema."))


def average_weights(paths: Sequence[str | os.PathLike]) -> dict[str, np.ndarray]:
    """The mean of each of the network's parameters over several checkpoints, by name.

    Raises UserError as `read_checkpoint` does.
    """
    sums = {}
    for path in paths:
        for name, parameter in read_checkpoint(path).parameters.items():
            if not is_memory(name):
                sums[name] = sums.get(name, 0) + parameter.astype(np.float64)
    return {name: (total / len(paths)).astype(np.float32) for name, total in sums.items()}
