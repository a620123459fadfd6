"""training/checkpoints.py: what a run begins with, and which checkpoints stay; test_run_state.py looks into others."""

import numpy as np
from small_training import command

from common.command_line import parse
from model import ConvTasNet
from network.checkpoint import write_checkpoint
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
