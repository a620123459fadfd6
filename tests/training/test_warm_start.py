"""training/warm_start.py: another network's weights are taken as far as they fit, and what does not fit is named."""

import mindspore as ms
import numpy as np
import pytest
from small_training import command, history, loss_and_improvement, write_set

import train
from common.errors import UserError
from model import ConvTasNet, load_model
from network.checkpoint import write_checkpoint
from network.options import NetworkOptions
from training.warm_start import begin_with, restore_fitting

SIZES = dict(N=16, L=8, B=8, H=12)


@pytest.fixture
def path(tmp_path, pynative):
    return str(tmp_path / "first.ckpt")


@pytest.mark.slow
def test_fine_tuning_on_other_speakers_improves_and_beats_beginning_anew(three_epochs, index, tmp_path):
    """Voices of other pitches; the first network has heard none of them."""
    other = tmp_path / "index"
    other.mkdir()
    write_set(other, seed=1, low=(220, 320), high=(900, 1400))
    before, _ = loss_and_improvement(load_model(three_epochs / "best.ckpt"), other)
    options = ["--train_dir", str(other), "--valid_dir", str(other), "--epochs", "3", "--lr", "3e-3", "--ema", "0.9"]
    first = ["--init_from", str(three_epochs / "best.ckpt")]
    train.main(command(index, tmp_path / "tuned", *options, *first))
    train.main(command(index, tmp_path / "anew", *options))
    tuned, anew = (history(tmp_path / name)[-1] for name in ("tuned", "anew"))
    assert tuned["valid_loss"] < before - 0.5
    assert tuned["valid_loss"] < anew["valid_loss"] - 0.5
    assert tuned["ema_valid_loss"] < anew["ema_valid_loss"] - 0.5
    # The same command goes on; another beginning would write over the run.
    train.main(command(index, tmp_path / "tuned", *options, *first))
    log = (tmp_path / "tuned" / "train.log").read_text()
    assert "last.ckpt: 3 epochs and 0 steps are done" in log and log.count("began with its weights") == 1
    with pytest.raises(UserError, match="holds a run already, which --init_from"):
        train.main(command(index, tmp_path / "tuned", *options, "--init_from", str(three_epochs / "ema.ckpt")))


def test_what_has_no_place_is_named_and_what_fits_nothing_is_refused(device):
    net = ConvTasNet(NetworkOptions(**SIZES, X=2, R=1), 8000)
    names = dict(net.parameters_and_names())
    parameters = {"decoder.weight": ms.Tensor(np.full((16, 8), 0.5, np.float32)), "old": ms.Tensor([1.0])}
    lines = restore_fitting(list(names.items()), parameters | {"optimizer.moment": ms.Tensor([1.0])}, "a.ckpt")
    assert (names["decoder.weight"].asnumpy() == 0.5).all()
    assert lines[0] == f"a.ckpt: began with its weights, 1 of the {len(names)} of this network"
    assert "a.ckpt: has none: encoder.weight (16, 8) begins anew" in lines
    assert lines[-1] == "a.ckpt: old has no place in this network"
    assert len(lines) == 1 + len(names) - 1 + 1
    with pytest.raises(UserError, match="none of its layers has the shape"):
        restore_fitting(list(names.items()), {"old": ms.Tensor([1.0])}, "a.ckpt")


def test_weights_that_do_not_fit_begin_anew_and_are_named(path):
    """Three speakers instead of two: the masks' convolution has another shape, all else is taken."""
    first, net = (ConvTasNet(NetworkOptions(**SIZES, X=2, R=1, C=C), 8000, seed=C) for C in (2, 3))
    write_checkpoint(path, first)
    lines = begin_with(path, net)
    assert f"{path}: has it of shape (32, 8): separator.conv_masks.weight (48, 8) begins anew" in lines
    assert f"{path}: had C 2, here 3" in lines and len(lines) == 3
    stored = {name: parameter.asnumpy() for name, parameter in first.parameters_and_names()}
    for name, parameter in net.parameters_and_names():
        same = parameter.shape == stored[name].shape and np.array_equal(parameter.asnumpy(), stored[name])
        assert same == (name != "separator.conv_masks.weight"), name


@pytest.mark.parametrize("P", [3, 5])
def test_a_causal_network_begins_with_the_taps_that_do_not_look_ahead(path, P):
    """Without them, the network that looks ahead gives what the causal one gives that begins with it."""
    sizes = dict(**SIZES, X=2, R=1, P=P, norm_type="cLN")
    ahead, causal = (ConvTasNet(NetworkOptions(**sizes, causal=causal), 8000, seed=1 + causal) for causal in (0, 1))
    for name, parameter in ahead.parameters_and_names():
        if name.endswith("depthwise.weight"):
            taps = parameter.asnumpy().copy()
            taps[P // 2 + 1 :] = 0
            parameter.set_data(ms.Tensor(taps))
    write_checkpoint(path, ahead)
    assert f"{path}: had causal 0, here 1" in begin_with(path, causal)
    mixture = ms.Tensor(np.random.default_rng(0).standard_normal((1, 400)), ms.float32)
    expected, ours = (net(mixture).asnumpy() for net in (ahead, causal))
    np.testing.assert_allclose(ours, expected, atol=1e-6)


@pytest.mark.parametrize("Sc", [0, 6])
def test_a_deeper_network_begins_with_what_the_shallower_one_computes(path, tmp_path, Sc):
    """And the shallower one with the blocks of its own repeats and dilations, of which each parameter is named."""
    shallow, deep, again = (
        ConvTasNet(NetworkOptions(**SIZES, Sc=Sc, bias=1, X=size, R=size), 8000, seed=seed)
        for size, seed in ((2, 1), (3, 5), (2, 6))
    )
    write_checkpoint(path, shallow)
    lines = begin_with(path, deep)
    mixture = ms.Tensor(np.random.default_rng(0).standard_normal((1, 400)), ms.float32)
    expected = shallow(mixture).asnumpy()
    np.testing.assert_allclose(deep(mixture).asnumpy(), expected, atol=1e-6)
    new = [line.removeprefix(f"{path}: has no block ") for line in lines if "adds nothing" in line]
    assert [int(line.split(",")[0]) for line in new] == [2, 5, 6, 7, 8]

    deep_path = str(tmp_path / "deep.ckpt")
    write_checkpoint(deep_path, deep)
    lines = begin_with(deep_path, again)
    np.testing.assert_allclose(again(mixture).asnumpy(), expected, atol=1e-6)
    dropped = [line for line in lines if "(of X 3, R 3) has no place in this network" in line]
    # Of five blocks; where there is a skip path, the last has no residual one's weights and biases.
    assert len(dropped) == 5 * len(shallow.separator.blocks[0].trainable_params()) - (2 if Sc else 0)
