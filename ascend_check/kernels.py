"""Which kernels MindSpore chooses for our graphs on Ascend, found without a card.

    python -m ascend_check.kernels [GRAPH...]

compiles the graphs of `graphs` on the libraries of `stand_ins` and prints how many nodes of each operator run as what:
aclnn, CANN's operators of today; aclop, those of before, which CANN advises against; hccl, between cards; none, where
nothing is computed. An operator that would fall back to the CPU is an error. A test compares what is found with
kernels.txt, where it is kept. It takes some three minutes.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from threading import Timer

from ascend_check.stand_ins import environment, make_stand_ins
from common.errors import UserError, run

PATIENCE_SECONDS = 1800  # until the compiler is believed to hang
KEPT = Path(__file__).with_name("kernels.txt")
CHOSEN = re.compile(r"kernel opname:(\S+), kernel type:(\S+)")
FALLEN_BACK = re.compile(r"Try to use backoff CPU kernel, node:\s*(\S+)")
KINDS = {"opapi_kernel": "aclnn", "acl_kernel": "aclop", "hccl_kernel": "hccl", "rt_kernel": "none"}

Kernels = Counter[tuple[str, str]]  # of each kind and operator, how many nodes


def chosen(names: Sequence[str] = ()) -> Kernels:
    """The kernels of all graphs of `graphs` together, or of those with these names.

    Raises UserError if one is not compiled, in half an hour, if a node would fall back to the CPU, or if the stand-ins
    cannot be made.
    """
    # What this process has set for MindSpore on another device, such as which operators are fused, is not for this one.
    others = {name: value for name, value in os.environ.items() if not name.startswith("MS_")}
    with tempfile.TemporaryDirectory() as folder:
        make_stand_ins(Path(folder))
        child = subprocess.Popen(
            [sys.executable, "-m", "ascend_check.graphs", *names],
            cwd=KEPT.parent.parent,
            env={**others, **environment(Path(folder)), "GLOG_v": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        limit = Timer(PATIENCE_SECONDS, child.kill)
        limit.start()
        try:
            return sum((kernels for _, kernels in kernels_of_graphs(child.stderr)), Counter())
        finally:
            limit.cancel()
            child.kill()  # what it does after its last graph is of no interest
            child.wait()


def kernels_of_graphs(log: Iterable[str]) -> Iterator[tuple[str, Kernels]]:
    """The graphs of the child, in turn, each with its kernels; from the lines that it prints."""
    name, kernels = None, Counter()
    for line in log:
        if line.startswith("@begin "):
            name, kernels = line.split(maxsplit=1)[1].strip(), Counter()
        elif line.startswith("@end ") and name:
            yield name, kernels
            name = None
        elif line.startswith("@all"):
            return
        elif line.startswith("@fails"):
            raise UserError(f"{name}: is not compiled for Ascend ({line.removeprefix('@fails').strip()})")
        elif fallen_back := FALLEN_BACK.search(line):
            raise UserError(f"{name}: {fallen_back[1]} has no kernel on Ascend and would fall back to the CPU")
        elif hit := CHOSEN.search(line):
            kernels[KINDS.get(hit[2], hit[2]), hit[1]] += 1
    raise UserError(f"{name or 'the start'}: MindSpore's Ascend plugin ended the process on the stand-ins for CANN")


def as_text(nodes: Kernels) -> str:
    """A line for each operator, after one for each kind."""
    kinds = Counter()
    for (kind, _), count in nodes.items():
        kinds[kind] += count
    totals = [f"{kind:6} {'all operators':22} {count:6}" for kind, count in sorted(kinds.items())]
    lines = [f"{kind:6} {operator:22} {count:6}" for (kind, operator), count in sorted(nodes.items())]
    return "\n".join([*totals, "", *lines]) + "\n"


def main() -> None:
    print(as_text(chosen(sys.argv[1:])), end="")


if __name__ == "__main__":
    run(main)
