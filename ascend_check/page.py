"""One page of what is known of an Ascend card, or of its absence, to read and to send.

    python -m ascend_check.page

With a card: estimates, gradients and losses of training on it beside those of the CPU, an export, and times. Without
one: which kernels MindSpore would choose (`kernels`), with nothing run. DEVICE_ID in the environment is the card's
number; DEVICE_TARGET takes another device in its place. The exit status is 1 where a number is too far off.
"""

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from glob import glob
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ascend_check.kernels import as_text, chosen
from common.errors import UserError, run
from common.wording import print_markdown

ROOT = Path(__file__).resolve().parent.parent
CLOSE = 1e-3  # of the largest number, in float32
CLOSE_IN_HALF = 5e-2  # its products have three digits
CANN = (
    "/usr/local/Ascend/*/version.cfg",
    "/usr/local/Ascend/*/latest/version.cfg",
    "/usr/local/Ascend/driver/version.info",
)


def main() -> None:
    sys.stdout.reconfigure(line_buffering=True)  # other processes print on the same page
    device = os.environ.get("DEVICE_TARGET") or ("Ascend" if glob("/dev/davinci[0-9]*") else None)
    describe_machine()
    if device is None:
        print("\nNo Ascend card is here (/dev/davinci0 and so on). Graphs are compiled for one; nothing is run.\n")
        print(as_text(chosen()), end="")
        return
    with tempfile.TemporaryDirectory() as folder:
        ours, reference = (
            numbers_of(target, Path(folder) / f"{number}.npz") for number, target in enumerate((device, "CPU"))
        )
        table = compared(ours, reference)
        print(f"\n## {device} beside the CPU\n")
        print_markdown([["network", "what", "off by, of the largest", "allowed", ""], *table])
        print("\n## Export\n", flush=True)
        command("export.py", "--file_name", f"{folder}/network", "--device_target", device)
        for what in ("forward", "step"):
            print(f"\n## Times: {what}\n", flush=True)
            command("benchmark.py", "--what", what, "--device_target", device)
    wrong = [f"{network}, {what}" for network, what, _, _, verdict in table if verdict != "ok"]
    if wrong:
        print(f"\ntoo far off: {'; '.join(wrong)}", file=sys.stderr)
        sys.exit(1)


def describe_machine() -> None:
    """Print what a reader of the page wants to know first."""
    names = ("mindspore", "numpy")
    print(f"Python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in names))
    print(f"{platform.platform()}, {os.cpu_count()} CPUs")
    for file in sorted(path for pattern in CANN for path in glob(pattern)):
        print(f"{file}: {' '.join(Path(file).read_text(errors='replace').split())[:200]}")


def numbers_of(device: str, file: Path, networks: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """What `numbers` computes on a device, in a process of its own. Raises UserError if it fails."""
    command("-m", "ascend_check.numbers", device, str(file), *networks)
    with np.load(file) as found:
        return dict(found)


def command(*arguments: str) -> None:
    """Run a command of this project, which prints. Raises UserError if it fails."""
    quiet = {"GLOG_v": "3", **os.environ}  # MindSpore warns of nodes that it removes, and of operators of its own
    status = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=quiet).returncode
    if status:
        raise UserError(f"{' '.join(arguments)}: failed with status {status}, see above")


def compared(ours: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray]) -> list[list[str]]:
    """Rows: network, what, how far ours are off, what is allowed, and whether they are close enough.

    A network in half precision is held to the same in float32.
    """
    rows = []
    for name, values in ours.items():
        network, what = name.split(": ")
        in_half = name not in reference
        wanted = reference[f"{network.split(', O2')[0]}: {what}"] if in_half else reference[name]
        off = float(np.abs(values - wanted).max() / np.abs(wanted).max())
        allowed = CLOSE_IN_HALF if in_half else CLOSE
        rows.append([network, what, f"{off:.1e}", f"{allowed:.0e}", "ok" if off <= allowed else "too far"])
    return rows


if __name__ == "__main__":
    run(main)
