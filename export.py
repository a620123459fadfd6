"""Export a network for other runtimes.

    python export.py --model_path exp/best.ckpt --file_name convtasnet
    python export.py --model_path exp/best.ckpt --file_name convtasnet --file_format ONNX --length 2

The file takes a mixture [batch_size, T] float32, T being `length` seconds at the network's sample rate, and gives the
estimates [batch_size, C, T]. MINDIR is run by MindSpore, ONNX by ONNX Runtime (an extra that only this format needs).
A file gets its name once it has been loaded again and gave what the network gives.
"""

import os
import shutil
import tempfile

from device import set_device

import mindspore as ms
import numpy as np
from mindspore import nn

from config import parse, require_positive
from errors import UserError, first_line, run
from files import whole_file
from model import load_model

ENDINGS = {"MINDIR": ".mindir", "ONNX": ".onnx"}
TOLERANCE = 1e-4  # of the largest sample


def main(argv=None):
    args = parse(__doc__, "model_file", "export", "device", argv=argv)
    require_positive(args, "length", "batch_size")
    path = target(args.file_name, args.file_format)
    if args.file_format == "ONNX":
        require_onnxruntime()
    set_device(args.device_target, args.device_id)
    net = load_model(args.model_path)
    samples = round(args.length * net.sample_rate)
    if samples < 1:
        raise UserError(f"--length {args.length}: not one sample at {net.sample_rate} Hz; take more")
    mixture = np.random.default_rng(0).standard_normal((args.batch_size, samples)).astype(np.float32)
    difference = export(net, path, args.file_format, mixture)
    print(
        f"{path}: {args.file_format} of {os.path.getsize(path) / 1e6:.2f} MB for mixtures {list(mixture.shape)};"
        f" differs from the network by {difference:.1e} of the largest sample"
    )


def target(file_name, file_format):
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


def require_onnxruntime():
    """Raise UserError unless what was written can be checked."""
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        raise UserError("--file_format ONNX: the file is checked with ONNX Runtime; pip install onnxruntime") from None


def export(net, path, file_format, mixture):
    """Write a network to a file for mixtures of one shape: whole and checked, or not at all.

    Args:
        net: of `model.load_model`.
        path: with the format's ending, in a folder that exists.
        file_format: "MINDIR" or "ONNX".
        mixture: float32 [M, T], what the file is checked on.

    Returns the largest difference between the file's output and the network's, as a part of the network's largest
    sample. Raises UserError if that is above 1e-4, or if the network cannot be written.
    """
    write, compute = FORMATS[file_format]
    try:
        # In a folder of its own, since MindSpore refuses paths with a space and many another character.
        with tempfile.TemporaryDirectory() as folder:
            written = os.path.join(folder, f"network{ENDINGS[file_format]}")
            write(net, written, mixture)
            difference = relative_difference(compute(written, mixture), net(ms.Tensor(mixture)).asnumpy())
            if not difference <= TOLERANCE:  # a NaN is a failure too
                raise UserError(f"{path}: not written, since it would differ from the network by {difference:.1e}")
            with whole_file(path) as partial:
                shutil.copyfile(written, partial)
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{path}: cannot be written as {file_format} ({first_line(error)})") from None
    return difference


def write_mindir(net, path, mixture):
    ms.export(net, ms.Tensor(mixture), file_name=path, file_format="MINDIR")


def compute_mindir(path, mixture):
    return nn.GraphCell(ms.load(path))(ms.Tensor(mixture)).asnumpy()


def write_onnx(net, path, mixture):
    names = {"input_names": ["mixture"], "output_names": ["estimates"]}
    ms.onnx.export(net, ms.Tensor(mixture), file_name=path, **names)


def compute_onnx(path, mixture):
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return session.run(["estimates"], {"mixture": mixture})[0]
    except Exception as error:  # its own errors, which share no other base
        raise RuntimeError(f"ONNX Runtime: {error}") from None


FORMATS = {"MINDIR": (write_mindir, compute_mindir), "ONNX": (write_onnx, compute_onnx)}


def relative_difference(found, expected):
    """Largest difference of two arrays, as a part of the largest magnitude in `expected`; NaN if either has NaN."""
    if found.shape != expected.shape:
        return float("inf")
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), np.finfo(np.float32).tiny))


if __name__ == "__main__":
    run(main)
