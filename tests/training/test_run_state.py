"""training/run_state.py: a run goes on where it stopped or was killed, and with what does not fit it does not.

KILLS=30 in the environment kills a run thirty times instead of three.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from small_training import AVERAGES, command

import train
from common.command_line import parse
from common.errors import UserError
from corpus.loading import load_index
from model import load_model
from network.checkpoint import read_checkpoint, write_checkpoint
from training.ranks import Ranks
from training.run_state import EpochProgress

ROOT = Path(__file__).resolve().parents[2]
IMPROVEMENTS = ("valid_si_snri", "ema_valid_si_snri")
KILLS = int(os.environ.get("KILLS", "3"))


def require_same_run(folder, expected):
    """Weights, all that the optimiser and the averages remember, and the losses must be equal to the bit."""
    one, other = read_checkpoint(folder / "last.ckpt"), read_checkpoint(expected / "last.ckpt")
    assert one.parameters.keys() == other.parameters.keys()
    for name, parameter in other.parameters.items():
        np.testing.assert_array_equal(one.parameters[name], parameter, err_msg=name)
    history, expected_history = (
        [{key: value for key, value in epoch.items() if key != "seconds"} for epoch in run.progress["history"]]
        for run in (one, other)
    )
    # The losses less the mixtures' own SI-SNR, which was once seen to differ by a rounding of float32.
    nearly = [{key: pytest.approx(epoch[key], rel=0, abs=1e-6) for key in IMPROVEMENTS} for epoch in expected_history]
    assert history == [epoch | improvements for epoch, improvements in zip(expected_history, nearly, strict=True)]


@pytest.mark.slow
def test_a_run_that_went_on_equals_one_that_did_not_stop(three_epochs, index, tmp_path):
    """From the checkpoint of its first epoch, in another folder."""
    first = str(three_epochs / "epoch_0001.ckpt")
    train.main(command(index, tmp_path, "--epochs", "3", *AVERAGES, "--num_workers", "2", "--continue_from", first))
    require_same_run(tmp_path, three_epochs)
    assert "changed since epoch_0001.ckpt: num_workers 1 -> 2" in (tmp_path / "train.log").read_text()


@pytest.mark.slow
def test_a_run_that_was_killed_again_and_again_equals_one_that_was_not(index, tmp_path):
    """At random moments, in the middle of an epoch, of writing a file, or before the first step."""
    epochs = ["--epochs", str(max(8, KILLS)), "--save_every", "2", *AVERAGES]
    epochs += ["--optimizer", "adamw", "--l2", "0.01", "--schedule", "cosine", "--warmup", "3"]
    epochs += ["--batch_size", "1", "--accumulate", "2"]
    train.main(command(index, tmp_path / "whole", *epochs))
    folder, random, kills, within_epochs = tmp_path / "killed", np.random.default_rng(), 0, 0
    script = [sys.executable, str(ROOT / "train.py"), *command(index, folder, *epochs)]
    while kills < KILLS:
        with open(tmp_path / "output", "wb") as output:
            child = subprocess.Popen(script, stdout=output, stderr=subprocess.STDOUT)
        if kills % 3 == 1:
            time.sleep(random.uniform(1, 12))
        else:
            wait_for_new(folder / "last.ckpt", child)
            time.sleep(random.uniform(0, 0.7))
        if child.poll() is not None:
            assert child.returncode == 0, (tmp_path / "output").read_text()
            break
        child.kill()
        child.wait()
        kills += 1
        if (folder / "last.ckpt").exists():
            within_epochs += read_checkpoint(folder / "last.ckpt").progress["epoch"]["steps"] > 0
    subprocess.run(script, check=True, capture_output=True)
    assert kills >= 2
    print(f"{kills} kills, {within_epochs} of them with a checkpoint of the middle of an epoch to go on from")
    require_same_run(folder, tmp_path / "whole")
    for name in ("best.ckpt", "ema.ckpt", "average.ckpt"):
        stored = read_checkpoint(folder / name).parameters
        for key, value in read_checkpoint(tmp_path / "whole" / name).parameters.items():
            np.testing.assert_array_equal(stored[key], value, err_msg=f"{name}, {key}")


def wait_for_new(file, child):
    before = file.stat().st_mtime_ns if file.exists() else None
    while child.poll() is None and (not file.exists() or file.stat().st_mtime_ns == before):
        time.sleep(0.005)


@pytest.mark.slow
def test_a_run_that_is_over_stays_as_it_is(three_epochs, index, tmp_path, capsys):
    shutil.copytree(three_epochs, tmp_path / "run")
    train.main(command(index, tmp_path / "run", "--epochs", "3", *AVERAGES))
    assert "3 epochs are done (--epochs 3)" in capsys.readouterr().out
    require_same_run(tmp_path / "run", three_epochs)


def begun(index, device, folder, *more):
    """A run in a folder, which has begun or gone on, and has not trained."""
    folder.mkdir(exist_ok=True)
    args = command(index, folder, *AVERAGES, *more)
    args = parse("", "training_data", "data", "network", "training", "device", argv=args)
    return train.Training(args, device, Ranks(), *2 * [load_index(str(index), 8000)])


@pytest.fixture
def stopped(index, device, tmp_path):
    """The folder of a run after an epoch, whose steps are made up here so that nothing is compiled."""
    folder, random = tmp_path / "stopped", np.random.default_rng(0)
    state = begun(index, device, folder).state
    for _, parameter in [*state.optimizer_memory(), *state.named_averages()]:
        parameter.set_data(ms.Tensor(random.standard_normal(parameter.shape), parameter.dtype))
    state.history.append({"epoch": 1, "train_loss": 3.0, "valid_loss": 2.0, "valid_si_snri": 1.0})
    for name in ("last.ckpt", "best.ckpt"):
        state.write(str(folder / name))
    return folder


def test_a_folder_with_another_run_is_not_written_over(index, stopped, tmp_path):
    shutil.copy(stopped / "last.ckpt", tmp_path)
    before = (tmp_path / "last.ckpt").read_bytes()
    with pytest.raises(UserError, match="holds a run already"):
        train.main(command(index, tmp_path, *AVERAGES, "--continue_from", str(stopped / "best.ckpt")))
    assert (tmp_path / "last.ckpt").read_bytes() == before


def test_a_checkpoint_that_was_cut_short_is_left_alone(index, stopped, tmp_path):
    whole = (stopped / "last.ckpt").read_bytes()
    (tmp_path / "last.ckpt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"last\.ckpt: not a checkpoint, or cut short"):
        train.main(command(index, tmp_path))
    assert (tmp_path / "last.ckpt").read_bytes() == whole[: len(whole) // 2]


@pytest.mark.parametrize("options", [["--X", "3"], ["--optimizer", "sgd"]])
def test_going_on_with_what_does_not_fit_is_refused(index, stopped, options):
    before = (stopped / "last.ckpt").read_bytes()
    with pytest.raises(UserError, match=f"{options[1]}"):
        train.main(command(index, stopped, *options))
    assert (stopped / "last.ckpt").read_bytes() == before


def test_going_on_from_what_is_no_run_is_refused(index, stopped, tmp_path):
    average = str(stopped / "average.ckpt")
    write_checkpoint(average, load_model(stopped / "best.ckpt"), {"valid_loss": 2.0})
    with pytest.raises(UserError, match="not from a training run"):
        train.main(command(index, tmp_path / "run", "--continue_from", average))


def test_memory_comes_from_the_checkpoint_and_lr_from_the_options(index, stopped, device):
    """Lowering --lr is what the message on a diverged run advises."""
    training = begun(index, device, stopped, "--lr", "1e-4")
    assert training.step.learning_rate == pytest.approx(1e-4)
    memory = dict([*training.state.optimizer_memory(), *training.state.named_averages()])
    assert {name.split(".")[0] for name in memory} == {"optimizer", "ema"}
    stored = read_checkpoint(stopped / "last.ckpt").parameters
    for name, value in memory.items():
        np.testing.assert_array_equal(value.asnumpy(), stored[name])


def test_the_progress_of_an_epoch_has_the_names_of_earlier_checkpoints(index, stopped, device):
    """So that a run which an earlier release stopped in the middle of an epoch goes on."""
    state, path = begun(index, device, stopped).state, str(stopped / "last.ckpt")
    state.epoch = EpochProgress(steps=2, skipped=1, lr=0.01, loss=-3.0, mixtures=4.0, seconds=1.5)
    state.write(path)
    stored = {"steps": 2, "skipped": 1, "lr": 0.01, "loss": -3.0, "mixtures": 4.0, "seconds": 1.5}
    assert read_checkpoint(path).progress["epoch"] == stored
    state.epoch = EpochProgress()
    assert "1 epochs and 2 steps are done" in state.go_on_from(path)[0]
    assert state.epoch == EpochProgress(**stored)
    assert state.epoch.mean_loss == -0.75
