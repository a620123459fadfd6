"""device.py: the device is set, or refused in one line."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import device
from device import load_to_separate, set_device

import mindspore as ms
import numpy as np
import pytest
from conftest import PATIENCE_SECONDS, ROOT

from common.errors import UserError


def test_cpu_in_graph_mode(monkeypatch):
    monkeypatch.setenv("DEVICE_ID", "3")  # a number of a card means nothing to the CPU
    assert set_device("CPU") == "CPU"
    assert ms.get_context("mode") == ms.GRAPH_MODE


def test_device_that_is_not_there():
    if ms.get_context("device_target") != "CPU":
        pytest.skip("has an accelerator")
    with pytest.raises(UserError) as error:
        set_device("Ascend")
    assert str(error.value).startswith("--device_target Ascend: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("option, value", [("jit_level", "O1"), ("hf32", 1)])
def test_options_of_ascend_are_refused_elsewhere(option, value):
    message = rf"^--{option} {value}: is of Ascend, and the device is CPU; leave it out$"
    with pytest.raises(UserError, match=message):
        set_device("CPU", **{option: value})
    with pytest.raises(UserError, match=message):
        load_to_separate("no.ckpt", "CPU", **{option: value})


def test_number_that_is_none(monkeypatch):
    monkeypatch.setenv("DEVICE_ID", "first")
    with pytest.raises(UserError, match="DEVICE_ID"):
        set_device("CPU")


@pytest.mark.parametrize("version", ["2.0.0", "2.3.1", "10.0.0rc1"])
def test_numpy_2_is_refused_before_any_work(monkeypatch, version):
    monkeypatch.setattr(np, "__version__", version)
    with pytest.raises(UserError, match=rf"^numpy {version}: MindSpore .* pip install 'numpy>=1.26,<2'"):
        set_device("CPU")


@pytest.mark.parametrize("script", ["train", "evaluate", "separate", "export", "convert", "benchmarks.workloads"])
def test_scripts_settle_the_environment_before_numpy_and_mindspore_are_imported(script):
    watched = f"""
import os, sys

class Watch:
    def find_spec(self, name, *_):
        if name in ("numpy", "mindspore"):
            print(os.environ.get("OMP_WAIT_POLICY"), flush=True)
            os._exit(0)

sys.meta_path.insert(0, Watch())
import {script}
"""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    root = Path(__file__).resolve().parent.parent
    found = subprocess.run(
        [sys.executable, "-c", watched], cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout == "passive\n"


@pytest.mark.parametrize("home", ["/dev/null/nobody", "nowhere"])  # cannot be made, and as `~` of a user without one is
def test_without_a_home_folder_nothing_is_printed_and_nothing_stays(tmp_path, home):
    root = Path(__file__).resolve().parent.parent
    kept = ("MPLCONFIGDIR", "MS_COMPILER_CACHE_PATH", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in kept}
    (tmp_path / "tmp").mkdir()
    environment |= {"HOME": home, "TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": str(root)}
    code = """
import os
import device
import training.progress
device.set_device("CPU")
print(os.environ["MS_COMPILER_CACHE_PATH"] == os.environ["MPLCONFIGDIR"], os.path.isdir(os.environ["MPLCONFIGDIR"]))
"""
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (found.returncode, found.stdout, found.stderr) == (0, "True True\n", "")
    assert [path.name for path in tmp_path.rglob("*")] == ["tmp"]


COMPILE = """
import os, resource, sys
from common.signals import end_at_signals
end_at_signals()
import mindspore as ms
import numpy as np
from common.errors import run
import device
from device import set_device

class Net(ms.nn.Cell):
    def construct(self, x):
        return ms.ops.relu(2 * x + 1) * x

def main():
    if "ROOM" in os.environ:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(os.environ["ROOM"]),) * 2)
    set_device("CPU")
    print(Net()(ms.Tensor(np.arange(3, dtype=np.float32))).asnumpy().tolist())

run(main)
"""


def compile_with(folder, **environment):
    """A small network, compiled where the kernel compiler has another environment: status, standard output, error."""
    environment = {"MS_COMPILER_CACHE_PATH": str(folder / "kernels"), "PYTHONPATH": str(ROOT)} | environment
    inherited = {name: value for name, value in os.environ.items() if name != "MS_DEV_GRAPH_KERNEL_FLAGS"}
    (folder / "job.py").write_text(COMPILE)
    done = subprocess.run(
        [sys.executable, "job.py"], cwd=folder, env=inherited | environment, capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("no compiler", "there is no g++ to compile with; install it"),
        ("no folder", "/dev/null/x cannot be written to or is full; name another folder as MS_COMPILER_CACHE_PATH"),
        ("no room", "kernels cannot be written to or is full; name another folder as MS_COMPILER_CACHE_PATH"),
    ],
)
def test_without_its_kernel_compiler_all_works_and_a_line_says_why_it_is_slow(tmp_path, what, reason):
    (tmp_path / "bin").mkdir()
    for name in ("cat", "grep", "sed", "sh"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    environment = {
        "no compiler": {"PATH": str(tmp_path / "bin")},
        "no folder": {"MS_COMPILER_CACHE_PATH": "/dev/null/x"},
        "no room": {"ROOM": "1000"},
    }[what]
    status, printed, errors = compile_with(tmp_path, **environment)
    assert (status, printed) == (0, "[0.0, 3.0, 10.0]\n"), errors
    assert errors.startswith("operators are not fused, so that all is slower: ")
    assert errors.endswith(f"{reason}\n") and errors.count("\n") == 1


def test_a_disk_that_would_fill_up_while_kernels_are_compiled_counts_as_full(tmp_path, monkeypatch):
    """The compiler's processes would wait for one of theirs that has ended."""
    has_room = device._has_room.__wrapped__  # not what it remembers
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=device.ROOM))
    assert has_room(str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=device.ROOM - 1))
    assert not has_room(str(tmp_path))


def test_a_kernel_compiler_that_fails_nevertheless_is_an_error_that_names_the_way_out(tmp_path):
    (tmp_path / "g++").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "g++").chmod(0o755)
    status, _, errors = compile_with(tmp_path, PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert status == 2
    assert errors.splitlines()[-1].startswith("error: MindSpore's compiler of kernels failed (")
    assert errors.endswith("MS_DEV_GRAPH_KERNEL_FLAGS=--opt_level=0 in the environment goes without it\n")


def test_a_folder_for_matplotlib_that_cannot_be_written_is_replaced(tmp_path):
    environment = os.environ | {"MPLCONFIGDIR": "/dev/null/mpl", "PYTHONPATH": str(ROOT)}
    code = "import device, matplotlib; print(matplotlib.get_configdir() != '/dev/null/mpl')"
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (found.returncode, found.stdout, found.stderr) == (0, "True\n", "")


def test_a_temporary_folder_does_not_stay_where_a_signal_ends_the_process(tmp_path):
    code = """
from common.signals import end_at_signals
end_at_signals()
import time
import device
print("ready", flush=True)
time.sleep(600)
"""
    environment = os.environ | {"MPLCONFIGDIR": "/dev/null/mpl", "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    assert len(os.listdir(tmp_path)) == 1
    process.terminate()
    assert process.communicate(timeout=PATIENCE_SECONDS) == ("", "ended by a signal (SIGTERM)\n")
    assert os.listdir(tmp_path) == []
