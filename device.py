"""Where to compute, and how: the one place that knows one device from another.

Scripts import it before anything that brings MindSpore, which reads some of the environment when it is imported.
"""

import atexit
import glob
import os
import shutil
import sys
import tempfile
from contextlib import ExitStack, suppress
from functools import cache
from typing import TYPE_CHECKING, Union

from common.processor import processor_can

# MindSpore computes its matrix products in OpenMP's threads and everything else in threads of its own. OpenMP's would
# spin for some milliseconds after each product, on the cores that the others wait for: a forward pass on two cores
# takes 1.1 s with that and 0.65 s without.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# numpy 1.26 does not know processors that are younger than it, and computes their matrix products as on one of 2004: in
# four times the time. So it is told by what the processor can do.
if "OPENBLAS_CORETYPE" not in os.environ and processor_can("avx2", "fma"):
    _newer = processor_can("avx512f", "avx512bw", "avx512dq", "avx512vl")
    os.environ["OPENBLAS_CORETYPE"] = "SkylakeX" if _newer else "Haswell"

import numpy as np

from common.errors import UserError, first_line
from common.files import temporary_folder
from common.wording import printable

if TYPE_CHECKING:
    from model import ConvTasNet
    from network.in_numpy import NumpyNetwork

Network = Union["NumpyNetwork", "ConvTasNet"]  # what separates: plain numpy, or a compiled graph

KERNEL_BYTES = 2**20  # a compiled kernel takes some thousands
ROOM = 2**25  # bytes, free; the kernels of the quick start take seven million

_XDG_CACHE = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
_XDG_CONFIG = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")


def set_device(
    device_target: str | None = None, device_id: int | None = None, jit_level: str | None = None, hf32: int = 0
) -> str:
    """Choose the device, graph mode and what its compiler fuses. Call before any network is built.

    Args:
        device_target: "Ascend", "GPU" or "CPU"; None takes the best that MindSpore finds on this machine.
        device_id: number of the card; None takes DEVICE_ID of the environment, or 0.
        jit_level: "O0" or "O1", how Ascend runs a graph; None takes what MindSpore does.
        hf32: 1 for products of float32 in HF32, on Ascend.

    Returns the device's name. Raises UserError if MindSpore cannot use it or it has no such graphs or products, if
    DEVICE_ID is not a number, or if numpy is one that MindSpore cannot use.
    """
    import mindspore as ms  # takes seconds, and some of what imports this module does without it

    if int(np.__version__.split(".")[0]) >= 2:
        raise UserError(
            f"numpy {np.__version__}: MindSpore {ms.__version__} fails with it in the middle of the work;"
            " pip install 'numpy>=1.26,<2', as requirements.txt asks for"
        )
    if device_id is None:
        device_id = os.environ.get("DEVICE_ID", "0")
        if not device_id.isdecimal():
            raise UserError(f"DEVICE_ID={device_id} in the environment: must be the number of a card, such as 0")
        device_id = int(device_id)
    target = device_target or ms.get_context("device_target")
    _check_ascend_options(target, jit_level, hf32)
    try:
        ms.set_device(target, 0 if target == "CPU" else device_id)
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"--device_target {target}: MindSpore cannot use device {device_id} of it ({first_line(error)})"
        ) from None
    ms.set_context(mode=ms.GRAPH_MODE)
    if target == "Ascend":
        from common.ascend import set_up  # as above

        set_up(jit_level, hf32)
    if "MS_COMPILER_CACHE_PATH" not in os.environ:
        os.environ["MS_COMPILER_CACHE_PATH"] = _cache_folder(ms.__version__)
    if target == "CPU":
        _fuse_operators()
        # Where that compiler may read its own table of tilings; without it, it prints that it may not.
        os.environ.setdefault("AKG_WHITE_LIST_PATH", os.path.dirname(ms.__file__))
    return target


def _check_ascend_options(device: str, jit_level: str | None, hf32: int) -> None:
    """Raise UserError if options of Ascend are set for another device."""
    for option, is_set in ((f"--jit_level {jit_level}", jit_level is not None), (f"--hf32 {hf32}", hf32)):
        if is_set and device != "Ascend":
            raise UserError(f"{option}: is of Ascend, and the device is {device}; leave it out")


def best_device() -> str:
    """The best device that MindSpore finds on this machine; it is asked only where Linux lists an accelerator."""
    if not (glob.glob("/dev/davinci[0-9]*") or glob.glob("/dev/nvidia[0-9]*")):
        return "CPU"
    import mindspore as ms  # as above

    return ms.get_context("device_target")


def load_to_separate(
    path: str | os.PathLike,
    device_target: str | None = None,
    device_id: int | None = None,
    amp_level: str = "O0",
    amp_type: str = "float16",
    jit_level: str | None = None,
    hf32: int = 0,
) -> tuple[Network, str]:
    """Build what separates. On a CPU that is plain numpy, for which MindSpore is not even imported: a graph is no
    faster and takes long to compile. It is a graph on an accelerator, and on a CPU that is to multiply in bfloat16,
    which numpy has not.

    Args:
        path: of a checkpoint.
        device_target, device_id: as for `set_device`.
        amp_level, amp_type: as for `precision.set_precision`.
        jit_level, hf32: as for `set_device`.

    Returns the network, and the device's name with the precision, if that is half. Raises UserError as `set_device`,
    `model.load_model` and `precision.set_precision` do.
    """
    device = device_target or best_device()
    _check_ascend_options(device, jit_level, hf32)
    if device == "CPU" and not _halves_on_cpu(amp_level, amp_type):
        from network.in_numpy import load_in_numpy  # which the network's own modules do not need

        return load_in_numpy(path), device
    set_device(device, device_id, jit_level, hf32)
    from model import load_model  # as above
    from network.precision import set_precision

    net = load_model(path)
    set_precision(net, amp_level, amp_type, device)
    return net, device if amp_level == "O0" else f"{device} in {amp_type}"


def _halves_on_cpu(level: str, half: str) -> bool:
    """`precision.halves_on_cpu`, without MindSpore where nothing is halved."""
    if level == "O0":
        return False
    from network.precision import halves_on_cpu

    return halves_on_cpu(level, half)


@cache
def _fuse_operators() -> None:
    """Let MindSpore fuse chains of element-wise operators, each of which is a pass over memory of its own otherwise.

    It reads the variable when it compiles for the first time. Where its compiler of such kernels could not work, and
    would end in a stack trace, operators are not fused; a line says why.
    """
    if "MS_DEV_GRAPH_KERNEL_FLAGS" in os.environ:
        return
    reason, folder = None, os.environ["MS_COMPILER_CACHE_PATH"]
    if shutil.which("g++") is None:
        reason = "there is no g++ to compile with; install it"
    elif not _has_room(os.path.abspath(folder)):
        reason = f"{folder} cannot be written to or is full; name another folder as MS_COMPILER_CACHE_PATH"
    if reason:
        print(f"operators are not fused, so that all is slower: {printable(reason)}", file=sys.stderr)
    else:
        os.environ["MS_DEV_GRAPH_KERNEL_FLAGS"] = "--opt_level=2"


def _cache_folder(version: str) -> str:
    """Where compiled kernels are kept for the next start; MindSpore would put them into the working directory."""
    folder = os.path.join(_XDG_CACHE, "conv-tasnet", f"mindspore-{version}")
    return folder if _has_room(folder) else _temporary_folder()


def _can_be_written(folder: str) -> bool:
    """Whether there is such a folder to write to, once it is made. One that is not absolute is of nobody's home."""
    if not os.path.isabs(folder):
        return False
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


@cache
def _has_room(folder: str) -> bool:
    """Whether kernels can be written to a folder."""
    if not _can_be_written(folder):
        return False
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(KERNEL_BYTES))
        return shutil.disk_usage(folder).free >= ROOM
    except OSError:
        return False


@cache
def _temporary_folder() -> str:
    """In place of what a home folder would keep, for this start alone."""
    at_exit = ExitStack()
    atexit.register(at_exit.close)
    return at_exit.enter_context(temporary_folder())


# Without a folder to write to matplotlib would print that it has none, when it is imported.
_stated = os.environ.get("MPLCONFIGDIR")
_folders = [os.path.abspath(_stated)] if _stated else [f"{parent}/matplotlib" for parent in (_XDG_CONFIG, _XDG_CACHE)]
if not all(map(_can_be_written, _folders)):
    with suppress(UserError):
        os.environ["MPLCONFIGDIR"] = _temporary_folder()
