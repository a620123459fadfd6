"""ascend_check/kernels.py: what MindSpore chooses for our graphs on Ascend, and that nothing would run on the CPU."""

import shutil
from collections import Counter
from importlib.metadata import version

import pytest

from ascend_check import kernels
from ascend_check.stand_ins import wheel_folder
from common.errors import UserError

MINDSPORE = "2.10"  # that of kernels.txt; others may choose otherwise


@pytest.mark.slow
def test_the_kernels_are_those_that_are_kept(monkeypatch):
    """Every graph is compiled, none of its nodes falls back to the CPU, and a change of a kernel is a change of a file.
    What `set_device` has set for the CPU changes nothing.

    After a change that is meant: python -m ascend_check.kernels > ascend_check/kernels.txt
    """
    if missing := [tool for tool in ("gcc", "nm", "readelf") if not shutil.which(tool)]:
        pytest.skip(f"needs {missing[0]}, to make stand-ins for CANN")
    if not version("mindspore").startswith(MINDSPORE):
        pytest.skip(f"the kernels that are kept are those of MindSpore {MINDSPORE}")
    try:
        wheel_folder()
    except UserError as error:
        pytest.skip(str(error))
    monkeypatch.setenv("MS_DEV_GRAPH_KERNEL_FLAGS", "--opt_level=2")
    assert kernels.as_text(kernels.chosen()) == kernels.KEPT.read_text()


def log(*lines):
    return (f"[INFO] KERNEL(1,7f,python) x.cc:1] {line}" if not line.startswith("@") else line for line in lines)


def test_a_graph_has_the_kernels_between_its_marks():
    found = dict(
        kernels.kernels_of_graphs(
            log(
                "kernel opname:Before, kernel type:acl_kernel",
                "@begin a, b",
                "kernel opname:Add, kernel type:opapi_kernel",
                "kernel opname:Add, kernel type:opapi_kernel",
                "kernel opname:Slice, kernel type:acl_kernel",
                "@end a, b",
                "@begin c",
                "kernel opname:AllReduce, kernel type:hccl_kernel",
                "@end c",
                "@all",
                "@begin what follows is not read",
            )
        )
    )
    assert found == {
        "a, b": Counter({("aclnn", "Add"): 2, ("aclop", "Slice"): 1}),
        "c": Counter({("hccl", "AllReduce"): 1}),
    }
    assert kernels.as_text(sum(found.values(), Counter())).splitlines() == [
        "aclnn  all operators               2",
        "aclop  all operators               1",
        "hccl   all operators               1",
        "",
        "aclnn  Add                         2",
        "aclop  Slice                       1",
        "hccl   AllReduce                   1",
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "Try to use backoff CPU kernel, node: BesselJ0 of x",
            "gLN: BesselJ0 has no kernel on Ascend and would fall back",
        ),
        ("@fails no such operator", r"gLN: is not compiled for Ascend \(no such operator\)"),
        ("the log ends here", "gLN: MindSpore's Ascend plugin ended the process"),
    ],
)
def test_what_is_not_compiled_for_ascend_is_an_error(line, message):
    with pytest.raises(UserError, match=message):
        list(kernels.kernels_of_graphs(log("@begin gLN", line)))
