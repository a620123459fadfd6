"""training/checkpoints.py: what a run begins with, and which checkpoints stay; test_run_state.py looks into others."""

import numpy as np
import pytest
from small_training import command

from common.command_line import parse
from common.errors import UserError
from model import ConvTasNet
from network.checkpoint import publish, write_checkpoint
from network.options import NetworkOptions
from network_define import MovingAverage, NetWithLoss, TrainingStep, make_optimizer
from training.checkpoints import Checkpoints, best_epochs, drop_old, epoch_file
from training.ranks import Ranks
from training.run_state import State


def test_latest_and_best_epochs_stay(tmp_path):
    losses = [5, 1, 4, 2, 3, 6]
    assert best_epochs(losses, 2) == [2, 4]
    for epoch in range(1, 8):  # the seventh was written by a run that was killed before last.ckpt knew of it
        (tmp_path / epoch_file(epoch)).touch()
    others = ["last.ckpt", "best.ckpt", "ema.ckpt", "average.ckpt", "epoch_x.ckpt", "epoch_0001.ckpt.bak"]
    for name in others:
        (tmp_path / name).touch()
    drop_old(tmp_path, losses, latest=2, best=2)
    assert {file.name for file in tmp_path.iterdir()} == {*map(epoch_file, (2, 4, 5, 6, 7)), *others}
    drop_old(tmp_path, losses, latest=0, best=0)
    assert {file.name for file in tmp_path.iterdir()} == {epoch_file(7), *others}


def test_the_moving_average_begins_with_the_weights_that_the_run_begins_with(device, tmp_path):
    """Of which the masks' convolution, for three speakers instead of two, is not from the other network."""
    path = str(tmp_path / "first.ckpt")
    first, net = (ConvTasNet(NetworkOptions(N=16, L=8, B=8, H=12, X=2, R=1, C=C), 8000, seed=C) for C in (2, 3))
    write_checkpoint(path, first)
    groups = ("training_data", "data", "network", "training", "device")
    args = parse("", *groups, argv=command("index", tmp_path / "run", "--init_from", path))
    weights = net.trainable_params()
    average = MovingAverage(weights, 0.9)
    state = State(net, TrainingStep(NetWithLoss(net), make_optimizer(weights, "adam", 0.1), 5.0), average, vars(args))
    lines = Checkpoints(args, state, Ranks()).begin()
    assert lines[0].startswith(f"{path}: began with its weights")
    np.testing.assert_array_equal(net.encoder.weight.asnumpy(), first.encoder.weight.asnumpy())
    averages = dict(state.named_averages())
    for name, parameter in net.parameters_and_names():
        np.testing.assert_array_equal(averages[f"ema.{name}"].asnumpy(), parameter.asnumpy())


def small_run(folder, *options, N=16):
    """The checkpoints and the state of a run that is about to begin."""
    groups = ("training_data", "data", "network", "training", "device")
    args = parse("", *groups, argv=command("index", folder, "--N", str(N), *options))
    net = ConvTasNet(NetworkOptions.of(args), 8000)
    step = TrainingStep(NetWithLoss(net), make_optimizer(net.trainable_params(), "adam", 0.1), 5.0)
    state = State(net, step, None, vars(args) | {"ranks": 1, "train_set": [5, 1000]})
    return Checkpoints(args, state, Ranks()), state


@pytest.mark.parametrize("name", ["best.ckpt", "ema.ckpt", "average.ckpt", "epoch_0001.ckpt"])
def test_a_used_folder_without_last_ckpt_is_refused(device, tmp_path, name):
    folder = tmp_path / "run"
    folder.mkdir()
    _, state = small_run(folder)
    state.history = [{"epoch": 1, "valid_loss": 1.0, "ema_valid_loss": 1.0}]
    state.write(folder / name)
    assert small_run(folder)[0].begin() == []  # killed before the last.ckpt of its first epoch: begins again
    for change in ({"N": 24}, {"N": 16, "options": ["--seed", "5"]}):
        with pytest.raises(UserError, match=rf"has no last.ckpt to go on from, but the {name} of another run"):
            small_run(folder, *change.get("options", []), N=change["N"])[0].begin()
    state.history *= 2  # of the same options, but further
    state.write(folder / name)
    with pytest.raises(UserError, match=r"has no last.ckpt to go on from"):
        small_run(folder)[0].begin()
    assert small_run(folder, "--continue_from", str(folder / name))[0].begin()[0].startswith("going on from")
    assert [file.name for file in folder.iterdir()] == [name]


def test_a_mean_of_weights_without_last_ckpt_is_refused(device, tmp_path):
    checkpoints, state = small_run(tmp_path)
    write_checkpoint(tmp_path / "average.ckpt", state.net, {"valid_loss": 1.0})
    with pytest.raises(UserError, match=r"average.ckpt of another run"):
        checkpoints.begin()


@pytest.mark.parametrize("name", ["best.ckpt", "ema.ckpt"])
def test_a_published_file_among_the_checkpoints_is_refused(device, tmp_path, name):
    write_checkpoint(tmp_path / "whole.ckpt", ConvTasNet(NetworkOptions(N=16, L=8, B=8, H=12, X=2, R=1), 8000))
    publish(tmp_path / "whole.ckpt", tmp_path / name)
    with pytest.raises(UserError, match=rf"{name}: tells no validation loss"):
        small_run(tmp_path)
