"""Export a network for other runtimes.

    python export.py --model_path exp/best.ckpt --file_name conv_tasnet
    python export.py --model_path exp/best.ckpt --file_name conv_tasnet --length any
    python export.py --model_path exp/best.ckpt --file_name conv_tasnet --file_format ONNX --length 32000samples

The file takes mixtures [batch_size, T] float32 and gives their estimates [batch_size, C, T]. T is `length`, or with
"any" whatever it is given. MINDIR is run by MindSpore and MindSpore Lite, ONNX by ONNX Runtime (an extra that only this
format needs). A file gets its name once it has been loaded again and gave what the network gives, on the CPU in plain
numpy; beside it stands a JSON file of that name and .json:

    format          MINDIR or ONNX
    sha256          of the file
    batch_size      mixtures it takes at once
    length          samples of each, null for any
    sample_rate     samples a second
    speakers        C
    network         the network's options (network.options.NetworkOptions)
    checkpoint      where it came from, as seen from the file's folder
    checkpoint_sha256
"""

from common.signals import end_at_signals

if __name__ == "__main__":
    end_at_signals()  # what follows takes seconds

import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict

from device import set_device

import mindspore as ms
import numpy as np
from mindspore import nn

from common.command_line import parse, require_positive
from common.errors import UserError, first_line, run
from common.files import checksum, temporary_folder, whole_file
from common.wording import print_line
from model import ConvTasNet, load_model
from network.checkpoint import path_or_shipped
from network.in_numpy import NumpyNetwork

ENDINGS = {"MINDIR": ".mindir", "ONNX": ".onnx"}
TOLERANCE = 1e-4  # of the largest sample
TRIED_SECONDS = (1.0, 0.37)  # lengths that a file for any length is checked at

Computation = Callable[[np.ndarray], np.ndarray]  # mixtures [M, T] -> estimates [M, C, T]


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(__doc__, "model_file", "export", "device", argv=argv)
    require_positive(args, "batch_size")
    path = target(args.file_name, args.file_format)
    if args.file_format == "ONNX":
        require_onnxruntime()
    device = set_device(args.device_target, args.device_id, args.jit_level, args.hf32)
    args.model_path = path_or_shipped(args.model_path)
    net = load_model(args.model_path)
    length = parse_length(args.length, net.sample_rate)
    if length is None and args.file_format == "ONNX":
        raise UserError(
            "--length any: MindSpore writes ONNX for one length only; name it, or take --file_format MINDIR"
        )
    difference = export(net, path, args.file_format, args.batch_size, length, args.model_path, device)
    print_line(
        f"{path}: {args.file_format} of {os.path.getsize(path) / 1e6:.2f} MB for mixtures"
        f" [{args.batch_size}, {length or 'any length'}]; differs from the network by {difference:.1e} of the largest"
        " sample"
    )


def parse_length(length: str, sample_rate: int) -> int | None:
    """The samples that the option --length asks for; None for "any". Raises UserError if it makes no sense."""
    if length == "any":
        return None
    samples = 0
    if match := re.fullmatch(r"(\d+)samples", length):
        samples = int(match[1])
    elif re.fullmatch(r"\d+|\d*\.\d+", length):
        samples = round(float(length) * sample_rate)
    if samples < 1:
        raise UserError(
            f"--length {length}: must be seconds, one sample of {sample_rate} Hz or more, such as 4 or 0.5; or samples,"
            " such as 32000samples; or any"
        )
    return samples


def target(file_name: str, file_format: str) -> str:
    """The path to write, with the format's ending. Raises UserError if it cannot be written."""
    path = file_name.removesuffix(ENDINGS[file_format]) + ENDINGS[file_format]
    folder, name = os.path.split(os.path.abspath(path))
    if not os.path.basename(file_name) or os.path.isdir(file_name) or os.path.isdir(path):
        raise UserError(f"--file_name {file_name}: not the name of a file; name one, in a folder if you like")
    if not os.path.isdir(folder):
        raise UserError(f"--file_name {file_name}: there is no folder {folder}; make it first")
    if not os.access(folder, os.W_OK):
        raise UserError(f"--file_name {file_name}: the folder {folder} cannot be written to; choose another")
    return path


def require_onnxruntime() -> None:
    """Raise UserError unless what was written can be checked."""
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        raise UserError("--file_format ONNX: the file is checked with ONNX Runtime; pip install onnxruntime") from None


def export(
    net: ConvTasNet,
    path: str,
    file_format: str,
    batch_size: int,
    length: int | None,
    checkpoint: str,
    device: str,
) -> float:
    """Write a network to a file, and a description beside it (see above): whole and checked, or not at all.

    Args:
        net: the network.
        path: with the format's ending, in a folder that exists.
        file_format: "MINDIR" or "ONNX".
        batch_size: mixtures M that the file takes at once.
        length: their samples T; None, of MINDIR only, for any.
        checkpoint: the network's own file.
        device: what `device.set_device` returned.

    Returns the largest difference between the file's output and the network's, as a part of the network's largest
    sample. Raises UserError if that is above 1e-4, or if the network cannot be written.
    """
    write, compute = FORMATS[file_format]
    try:
        # In a folder of its own, since MindSpore refuses paths with a space and many another character.
        with temporary_folder() as folder:
            written = os.path.join(folder, f"network{ENDINGS[file_format]}")
            write(net, written, ms.Tensor(shape=[batch_size, length], dtype=ms.float32))
            mixtures = noise(batch_size, length, net.sample_rate)
            difference = largest_difference(compute(written), computation(net, device), mixtures)
            if not difference <= TOLERANCE:  # a NaN is a failure too
                raise UserError(f"{path}: not written, since it would differ from the network by {difference:.1e}")
            facts = {
                "format": file_format,
                "sha256": checksum(written),
                "batch_size": batch_size,
                "length": length,
                "sample_rate": net.sample_rate,
                "speakers": net.options.C,
                "network": asdict(net.options),
                "checkpoint": os.path.relpath(checkpoint, os.path.dirname(os.path.abspath(path))),
                "checkpoint_sha256": checksum(checkpoint),
            }
            with whole_file(path) as partial, whole_file(f"{path}.json") as partial_facts:
                shutil.copyfile(written, partial)
                with open(partial_facts, "w", encoding="utf-8") as stream:
                    json.dump(facts, stream, indent=1)
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{path}: cannot be written as {file_format} ({first_line(error)})") from None
    return difference


def noise(batch_size: int, length: int | None, sample_rate: int) -> list[np.ndarray]:
    """Mixtures [M, T] to try a file with: one of its length, or several where it takes any."""
    random = np.random.default_rng(0)
    lengths = [length] if length else [round(seconds * sample_rate) for seconds in TRIED_SECONDS]
    return [random.standard_normal((batch_size, samples)).astype(np.float32) for samples in lengths]


def computation(net: ConvTasNet, device: str) -> Computation:
    """What a file is held to. On the CPU plain numpy, which compiles nothing and shares only the weights with the file.

    Other devices round their products otherwise than numpy; there it is the network's own graph.
    """
    if device != "CPU":
        return lambda mixtures: net(ms.Tensor(mixtures)).asnumpy()
    in_numpy = NumpyNetwork.of(net)
    return lambda mixtures: np.stack([in_numpy(mixture) for mixture in mixtures])


def largest_difference(found: Computation, expected: Computation, mixtures: Sequence[np.ndarray]) -> float:
    """The largest `relative_difference` of two computations for mixtures [M, T]; NaN if one of them is."""
    return float(np.max([relative_difference(found(mixture), expected(mixture)) for mixture in mixtures]))


def write_mindir(net: ConvTasNet, path: str, mixture: ms.Tensor) -> None:
    """Write a network that takes mixtures of this one's shape, which may have None in it."""
    ms.export(net, mixture, file_name=path, file_format="MINDIR")


def load_mindir(path: str) -> Computation:
    """The network in a MindIR file."""
    net = nn.GraphCell(ms.load(path))
    return lambda mixture: net(ms.Tensor(mixture)).asnumpy()


def write_onnx(net: ConvTasNet, path: str, mixture: ms.Tensor) -> None:
    """Write a network that takes mixtures of this one's shape. Raises UserError if MindSpore is too old for it."""
    if not hasattr(ms, "onnx"):
        raise UserError(f"--file_format ONNX: MindSpore {ms.__version__} cannot; install a later one, such as 2.10")
    ms.onnx.export(net, mixture, file_name=path, input_names=["mixture"], output_names=["estimates"])


def load_onnx(path: str) -> Computation:
    """The network in an ONNX file. Raises RuntimeError if ONNX Runtime cannot take it."""
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own errors, which share no other base
        raise RuntimeError(f"ONNX Runtime: {error}") from None
    return lambda mixture: session.run(["estimates"], {"mixture": mixture})[0]


FORMATS = {"MINDIR": (write_mindir, load_mindir), "ONNX": (write_onnx, load_onnx)}


def relative_difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference of two arrays, as a part of the largest magnitude in `expected`; NaN if either has NaN."""
    if found.shape != expected.shape:
        return float("inf")
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), np.finfo(np.float32).tiny))


if __name__ == "__main__":
    run(main)
