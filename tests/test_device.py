"""device.py: the device is set, or refused in one line."""

import os
import subprocess
import sys
from pathlib import Path

from device import set_device

import mindspore as ms
import numpy as np
import pytest

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


def test_number_that_is_none(monkeypatch):
    monkeypatch.setenv("DEVICE_ID", "first")
    with pytest.raises(UserError, match="DEVICE_ID"):
        set_device("CPU")


@pytest.mark.parametrize("version", ["2.0.0", "2.3.1", "10.0.0rc1"])
def test_numpy_2_is_refused_before_any_work(monkeypatch, version):
    monkeypatch.setattr(np, "__version__", version)
    with pytest.raises(UserError, match=rf"^numpy {version}: MindSpore .* pip install 'numpy>=1.26,<2'"):
        set_device("CPU")


@pytest.mark.parametrize("script", ["train", "evaluate", "export", "convert", "benchmarks.workloads"])
def test_scripts_settle_the_environment_before_mindspore_is_imported(script):
    watched = f"""
import os, sys

class Watch:
    def find_spec(self, name, *_):
        if name == "mindspore":
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
