"""common/signals.py: Ctrl-C and kill end every script at once, in one line, with its status, and leave nothing."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from conftest import PATIENCE_SECONDS, ROOT, heed_signals
from small_training import command

ENDS = [
    (signal.SIGINT, 130, "interrupted\n"),
    (signal.SIGTERM, 143, "ended by a signal (SIGTERM)\n"),
    (signal.SIGHUP, 129, "ended by a signal (SIGHUP)\n"),
]
START = """
import os, sys, time
sys.path.insert(0, {root!r})
from common.signals import end_at_signals
end_at_signals()
from common.errors import run
from common.files import temporary_folder, whole_file
from common.parallel import map_in_processes

"""
WRITING = """
def main():
    with whole_file("whole.txt") as path, temporary_folder(".some-", ".") as folder:
        open(path, "w").write("half")
        open(path + ".tmp", "w").write("MindSpore's own")
        open(os.path.join(folder, "more"), "w").close()
        print("ready", flush=True)
        time.sleep(60)

run(main)
"""
IN_MINDSPORE = """
from device import set_device
import mindspore as ms
import numpy as np

class Net(ms.nn.Cell):
    def construct(self, x):
        return x + 1

def main():
    set_device("CPU")
    Net()(ms.Tensor(np.zeros(3, np.float32)))
    rows = ms.dataset.GeneratorDataset(lambda: iter([np.zeros(3)] * 1000), ["x"])
    for number, _ in enumerate(rows.create_tuple_iterator(num_epochs=1)):
        if number == 1:
            print("ready", flush=True)
        time.sleep(0.1)

run(main)
"""
KERNEL_COMPILER = """
import subprocess
import mindspore as ms
import numpy as np
from device import set_device

class Net(ms.nn.Cell):
    def construct(self, x):
        return ms.ops.relu(2 * x + 1) * x

def main():
    set_device("CPU")
    Net()(ms.Tensor(np.zeros(3, np.float32)))
    print("ready", flush=True)
    time.sleep(60)

run(main)
"""
IN_PROCESSES = """
def work(seconds):
    with whole_file(f"whole{seconds}.txt") as path:
        open(path, "w").write("half")
        time.sleep(seconds)

def items():
    yield from [(60,), (61,)]
    while not os.path.exists(".whole60.txt.partial/whole60.txt"):
        time.sleep(0.01)
    print("ready", flush=True)
    time.sleep(60)
"""
RUN_PROCESSES = (
    "import job\nfrom common.errors import run\nrun(lambda: list(job.map_in_processes(job.work, job.items())))"
)


def start(folder, *arguments):
    pipe = subprocess.PIPE
    command = [sys.executable, *map(str, arguments)]
    return subprocess.Popen(command, cwd=folder, stdout=pipe, stderr=pipe, text=True, preexec_fn=heed_signals)


def blocks(process, number):
    """Whether a process has blocked a signal."""
    with open(f"/proc/{process.pid}/status") as status:
        line = next(line for line in status if line.startswith("SigBlk"))
    return int(line.split()[1], 16) >> (number - 1) & 1


@pytest.mark.parametrize(("number", "status", "line"), ENDS)
@pytest.mark.parametrize("body", [WRITING, IN_MINDSPORE], ids=["writing", "in MindSpore"])
def test_one_line_its_status_and_nothing_left(tmp_path, number, status, line, body):
    (tmp_path / "job.py").write_text(START.format(root=str(ROOT)) + body)
    process = start(tmp_path, "job.py")
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.communicate(timeout=PATIENCE_SECONDS) == ("", line)
    assert process.returncode == status
    assert set(os.listdir(tmp_path)) <= {"job.py", "dsa_transfrom.log"}  # MindSpore's, where it compiles anew


@pytest.mark.parametrize(("number", "status", "line"), ENDS[:2])
def test_what_other_processes_were_writing_does_not_stay(tmp_path, number, status, line):
    (tmp_path / "job.py").write_text(START.format(root=str(ROOT)).replace("end_at_signals()\n", "") + IN_PROCESSES)
    process = start(tmp_path, "-c", START.format(root=str(ROOT)) + RUN_PROCESSES)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.communicate(timeout=PATIENCE_SECONDS) == ("", line)
    assert process.returncode == status
    assert [name for name in os.listdir(tmp_path) if name != "__pycache__"] == ["job.py"]


@pytest.mark.skipif(sys.platform != "linux", reason="MindSpore compiles kernels with such processes on Linux only")
def test_the_kernel_compiler_can_be_terminated(tmp_path, monkeypatch):
    """It ends its own processes so, and would wait for them for ever: seen at one new kernel of ten."""
    monkeypatch.setenv("MS_COMPILER_CACHE_PATH", str(tmp_path / "kernels"))
    (tmp_path / "job.py").write_text(START.format(root=str(ROOT)) + KERNEL_COMPILER)
    process = start(tmp_path, "job.py")
    assert process.stdout.readline() == "ready\n"
    (compiler,) = psutil.Process(process.pid).children()
    assert "kernel_build" in " ".join(compiler.cmdline())
    assert [blocks(compiler, number) for number in (signal.SIGINT, signal.SIGTERM)] == [1, 0]
    assert [blocks(process, number) for number in (signal.SIGINT, signal.SIGTERM)] == [1, 1]
    process.terminate()
    assert process.communicate(timeout=PATIENCE_SECONDS) == ("", ENDS[1][2])
    assert psutil.wait_procs([compiler], timeout=PATIENCE_SECONDS)[1] == []


@pytest.mark.parametrize("script", ["benchmark", "convert", "evaluate", "export", "preprocess", "separate", "train"])
def test_while_a_script_is_being_imported(tmp_path, script):
    process = start(tmp_path, ROOT / f"{script}.py")
    while process.poll() is None and not blocks(process, signal.SIGINT):
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=PATIENCE_SECONDS) == ("", "interrupted\n")
    assert process.returncode == 130


def test_what_is_ignored_stays_ignored(tmp_path):
    """As under nohup, and for Ctrl-C of what a shell script runs in the background."""
    body = "import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + START.format(root=str(ROOT))
    process = start(tmp_path, "-c", body + "print('ready', flush=True)\ntime.sleep(1)\nprint('done')")
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGHUP)
    assert process.communicate(timeout=PATIENCE_SECONDS) == ("done\n", "")
    assert process.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status", "line"), ENDS[:2])
def test_training_between_two_checkpoints(tmp_path, index, number, status, line):
    folder = tmp_path / "run"
    process = start(tmp_path, ROOT / "train.py", *command(index, folder, "--epochs", "1000", "--save_every", "1"))
    while process.poll() is None and not (folder / "last.ckpt").exists():
        time.sleep(0.05)
    process.send_signal(number)
    assert process.communicate(timeout=PATIENCE_SECONDS)[1].endswith(line)
    assert process.returncode == status
    assert not [name for name in os.listdir(folder) if "partial" in name]
