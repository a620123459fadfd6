"""Several processes that train together, started by scripts/run_distribute_train.sh on the CPU."""

import os
import re
import signal
import socket
import subprocess
import time

import numpy as np
import pytest
from conftest import PATIENCE_SECONDS, ROOT
from small_training import command, history

import train
from network.checkpoint import read_checkpoint

# Five examples: a batch of four, and one that leaves nothing for the second rank. The gradient is clipped at each step.
STEPS = ["--segment", "0.5", "--max_norm", "1"]


class Job:
    """Two ranks with a batch of 2 each, in a folder of their own."""

    def __init__(self, folder, *options):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.logs, self.output = folder / "distribute", folder / "output"
        script = ["bash", str(ROOT / "scripts" / "run_distribute_train.sh"), "2", "1", *options]
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(
                script,
                cwd=folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {"DEVICE_TARGET": "CPU", "MASTER_PORT": str(port)},
            )

    def end(self, seconds=PATIENCE_SECONDS):
        """Wait for the end; returns exit status and output."""
        try:
            self.process.wait(seconds)
        finally:
            self.process.terminate()
            self.process.wait()
        return self.process.returncode, self.output.read_text(errors="replace")

    def wait_for(self, file):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not file.exists() and self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        assert file.exists(), self.output.read_text(errors="replace")

    def process_of(self, rank):
        return int(re.search(r"process (\d+)", (self.logs / f"rank_{rank}.log").read_text())[1])


@pytest.mark.slow
@pytest.mark.parametrize("more", [["--norm_type", "gLN"], ["--segment", "-1", "--accumulate", "2", "--ema", "0.9"]])
def test_two_ranks_equal_one_process_with_the_double_batch(index, tmp_path, more):
    options = command(index, tmp_path / "two", "--epochs", "3", *STEPS, *more)
    status, output = Job(tmp_path, *options).end()
    assert status == 0, output
    one = command(index, tmp_path / "one", "--epochs", "3", *STEPS, *more, "--batch_size", "4")
    train.main(one)
    for name in ("train_loss", "valid_loss", "valid_si_snri"):
        losses = [[epoch[name] for epoch in history(tmp_path / folder)] for folder in ("one", "two")]
        np.testing.assert_allclose(losses[0], losses[1], atol=2e-5)
    stored = [read_checkpoint(tmp_path / folder / "last.ckpt").parameters for folder in ("one", "two")]
    assert stored[0].keys() == stored[1].keys()
    for name, parameter in stored[0].items():
        np.testing.assert_allclose(stored[1][name], parameter, rtol=1e-3, atol=2e-5, err_msg=name)
    assert "epoch 3: training loss" in output
    second = (tmp_path / "distribute" / "rank_1.log").read_text()
    assert "rank 1 of 2" in second and "training loss" not in second


@pytest.mark.slow
def test_a_killed_rank_ends_the_job_with_its_name_and_the_job_goes_on(index, tmp_path):
    options = command(index, tmp_path / "run", *STEPS)
    job = Job(tmp_path, *options, "--epochs", "100000")
    job.wait_for(tmp_path / "run" / "last.ckpt")
    victim = job.process_of(1)
    others = [victim, job.process_of(0)]
    os.kill(victim, signal.SIGKILL)
    status, output = job.end()
    assert status == 1
    assert re.search(rf"^error: rank 1 \(process {victim}\) was killed by signal 9, .*rank_1\.log", output, re.M)
    for process in others:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)
    epochs = len(history(tmp_path / "run"))
    status, output = Job(tmp_path, *options, "--epochs", str(epochs + 1)).end()
    assert status == 0, output
    assert f"{epochs} epochs and 0 steps are done" in output
    assert len(history(tmp_path / "run")) == epochs + 1
    assert (tmp_path / "distribute.1" / "rank_1.log").exists()


@pytest.mark.slow
def test_a_rank_that_is_half_a_minute_late_is_waited_for(index, tmp_path):
    """As where it compiles for longer than the others, or its machine does other things."""
    job = Job(tmp_path, *command(index, tmp_path / "run", *STEPS, "--epochs", "60"))
    job.wait_for(tmp_path / "run" / "last.ckpt")
    late = job.process_of(1)
    os.kill(late, signal.SIGSTOP)
    epochs = len(history(tmp_path / "run"))
    time.sleep(35)
    os.kill(late, signal.SIGCONT)
    status, output = job.end()
    assert status == 0, output
    assert epochs < len(history(tmp_path / "run")) == 60


@pytest.mark.slow
def test_a_mistake_is_reported_and_ends_all_ranks(index, tmp_path):
    status, output = Job(tmp_path, *command(index, tmp_path / "run", *STEPS, "--lr", "0")).end()
    assert status == 1
    assert re.search(r"^error: --lr 0\.0: must be above 0$", output, re.M)
