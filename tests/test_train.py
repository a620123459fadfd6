"""Training: it learns, it goes on where it stopped or was killed, and it refuses what makes no sense.

KILLS=30 in the environment kills a run thirty times instead of three.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
import soundfile
from small_training import command, history, write_set

import train
from common.command_line import parse
from common.errors import UserError
from corpus.loading import load_index
from model import ConvTasNet, load_model
from network.checkpoint import read_checkpoint, write_checkpoint
from network.options import NetworkOptions
from training.ranks import Ranks

ROOT = Path(__file__).resolve().parent.parent
AVERAGES = ["--ema", "0.9", "--average_best", "2", "--keep_checkpoint_max", "1"]
HAS_TENSORBOARD = find_spec("tensorboardX") is not None  # of requirements/extras.txt
IMPROVEMENTS = ("valid_si_snri", "ema_valid_si_snri")
KILLS = int(os.environ.get("KILLS", "3"))


def require_same_run(folder, expected):
    """Weights, all that the optimiser and the averages remember, and the losses must be equal to the bit."""
    one, other = read_checkpoint(folder / "last.ckpt"), read_checkpoint(expected / "last.ckpt")
    assert one.parameters.keys() == other.parameters.keys()
    for name, parameter in other.parameters.items():
        np.testing.assert_array_equal(one.parameters[name].asnumpy(), parameter.asnumpy(), err_msg=name)
    told, expected_told = (
        [{key: value for key, value in epoch.items() if key != "seconds"} for epoch in run.progress["history"]]
        for run in (one, other)
    )
    # The losses less the mixtures' own SI-SNR, which was once seen to differ by a rounding of float32.
    nearly = [{key: pytest.approx(epoch[key], rel=0, abs=1e-6) for key in IMPROVEMENTS} for epoch in expected_told]
    assert told == [epoch | improvements for epoch, improvements in zip(expected_told, nearly, strict=True)]


@pytest.fixture(scope="module")
def three_epochs(index, tmp_path_factory):
    """The folder of a run of three epochs."""
    folder = tmp_path_factory.mktemp("run")
    train.main(command(index, folder, "--epochs", "3", *AVERAGES, "--tensorboard", str(int(HAS_TENSORBOARD))))
    return folder


@pytest.mark.slow
def test_it_learns_and_keeps_the_best(three_epochs):
    losses = [epoch["valid_loss"] for epoch in history(three_epochs)]
    assert len(losses) == 3
    assert losses[-1] < losses[0] - 1
    assert history(three_epochs, "best.ckpt")[-1]["valid_loss"] == min(losses)


@pytest.mark.slow
@pytest.mark.parametrize("name, key", [("last.ckpt", "valid_loss"), ("ema.ckpt", "ema_valid_loss")])
def test_the_loss_in_the_history_is_the_networks(three_epochs, index, name, key):
    """The mean over the utterances, computed from the definition; so is the improvement."""
    last = history(three_epochs, name)[-1]
    loss, improvement = loss_and_improvement(load_model(three_epochs / name), index)
    assert last[key] == pytest.approx(loss, abs=1e-3)
    assert last[key.replace("loss", "si_snri")] == pytest.approx(improvement, abs=2e-3)


@pytest.mark.slow
def test_the_mean_of_the_best_epochs(three_epochs, index):
    losses = [epoch["valid_loss"] for epoch in history(three_epochs)]
    best = np.argsort(losses)[:2] + 1
    files = [read_checkpoint(three_epochs / f"epoch_{epoch:04d}.ckpt").parameters for epoch in best]
    mean = read_checkpoint(three_epochs / "average.ckpt")
    for name, parameter in mean.parameters.items():
        expected = np.mean([file[name].asnumpy() for file in files], axis=0, dtype=np.float64)
        np.testing.assert_allclose(parameter.asnumpy(), expected, rtol=1e-6, atol=1e-9, err_msg=name)
    loss, _ = loss_and_improvement(load_model(three_epochs / "average.ckpt"), index)
    assert mean.progress["valid_loss"] == pytest.approx(loss, abs=1e-3)


def loss_and_improvement(net, index):
    files = [[index / part / f"utterance{number}.wav" for part in ("mix", "s1", "s2")] for number in range(5)]
    signals = [np.stack([soundfile.read(file)[0] for file in row]) for row in files]  # [3, T] each, mixture first
    lengths = [row.shape[1] for row in signals]
    mixtures = np.stack([np.pad(row[0], (0, max(lengths) - row.shape[1])) for row in signals])
    separated = net(ms.Tensor(mixtures.astype(np.float32)), ms.Tensor(lengths, ms.int32)).asnumpy()
    losses, before = [], []
    for (mixture, *sources), estimates in zip(signals, separated, strict=True):
        estimates = estimates[:, : len(mixture)]
        orders = (estimates, estimates[::-1])
        losses.append(-max(np.mean([si_snr(*pair) for pair in zip(order, sources, strict=True)]) for order in orders))
        before.append(np.mean([si_snr(mixture, source) for source in sources]))
    return np.mean(losses), -np.mean(losses) - np.mean(before)


def si_snr(estimate, source):
    estimate, source = estimate - estimate.mean(), source - source.mean()
    target = estimate @ source / (source @ source) * source
    return 10 * np.log10((target @ target) / np.sum((estimate - target) ** 2))


@pytest.mark.slow
def test_what_a_person_finds_in_the_folder(three_epochs):
    names = {file.name for file in three_epochs.iterdir() if file.is_file()}
    assert {"last.ckpt", "best.ckpt", "ema.ckpt", "average.ckpt", "config.yaml", "epoch_0003.ckpt"} <= names
    assert not [name for name in names if "partial" in name]
    with open(three_epochs / "history.jsonl") as lines:
        assert [json.loads(line) for line in lines] == history(three_epochs)
    assert (three_epochs / "curves.png").read_bytes().startswith(b"\x89PNG")
    log = (three_epochs / "train.log").read_text()
    for text in (
        "MindSpore 2",
        "parameters",
        "10 examples",
        *(f"epoch {number}: training loss" for number in (1, 2, 3)),
    ):
        assert text in log


@pytest.mark.slow
@pytest.mark.skipif(not HAS_TENSORBOARD, reason="needs requirements/extras.txt")
def test_tensorboard_events(three_epochs):
    events = b"".join(file.read_bytes() for file in (three_epochs / "tensorboard").iterdir())
    assert b"epoch/valid_loss" in events and b"step/loss" in events


@pytest.mark.slow
def test_a_run_that_went_on_equals_one_that_did_not_stop(three_epochs, index, tmp_path):
    """Once in the same folder, after an epoch that --max_minutes did not cut, and once in another."""
    first, second = tmp_path / "first", tmp_path / "second"
    train.main(command(index, first, "--epochs", "1", *AVERAGES))
    last = str(first / "last.ckpt")
    train.main(command(index, second, "--epochs", "3", *AVERAGES, "--continue_from", last))
    require_same_run(second, three_epochs)
    assert "changed since last.ckpt: epochs 1 -> 3" in (second / "train.log").read_text()


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
            np.testing.assert_array_equal(stored[key].asnumpy(), value.asnumpy(), err_msg=f"{name}, {key}")


def wait_for_new(file, child):
    before = file.stat().st_mtime_ns if file.exists() else None
    while child.poll() is None and (not file.exists() or file.stat().st_mtime_ns == before):
        time.sleep(0.005)


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
    train.main(command(index, tmp_path / "tuned", *options, "--epochs", "4", *first))
    assert [epoch["epoch"] for epoch in history(tmp_path / "tuned")] == [1, 2, 3, 4]
    with pytest.raises(UserError, match="holds a run already, which --init_from"):
        train.main(command(index, tmp_path / "tuned", *options, "--init_from", str(three_epochs / "ema.ckpt")))


def begun(index, device, path, *options):
    """A training run that has begun with a checkpoint, and the lines that it said."""
    args = command(index, "unused", "--init_from", path, *options)
    args = parse("", "training_data", "data", "network", "training", "device", argv=args)
    training = train.Training(args, device, Ranks(), *2 * [load_index(str(index), 8000)])
    return training, training.state.begin_with(path)


def test_weights_that_do_not_fit_begin_anew_and_are_named(three_epochs, index, device):
    """Three speakers instead of two: the masks' convolution has another shape, all else is taken."""
    path = str(three_epochs / "best.ckpt")
    training, lines = begun(index, device, path, "--C", "3", "--ema", "0.9")
    assert f"{path}: has it of shape (32, 8): separator.conv_masks.weight (48, 8) begins anew" in lines
    assert f"{path}: had C 2, here 3" in lines and len(lines) == 3
    stored = read_checkpoint(path).parameters
    averages = dict(training.state.of_average())
    for name, parameter in training.net.parameters_and_names():
        same = parameter.shape == stored[name].shape and np.array_equal(parameter.asnumpy(), stored[name].asnumpy())
        assert same == (name != "separator.conv_masks.weight"), name
        np.testing.assert_array_equal(averages[f"ema.{name}"].asnumpy(), parameter.asnumpy())


@pytest.mark.parametrize("P", [3, 5])
def test_a_causal_network_begins_with_the_taps_that_do_not_look_ahead(index, device, tmp_path, P):
    """Without them, the network that looks ahead gives what the causal one gives that begins with it."""
    options = NetworkOptions(N=16, L=8, B=8, H=12, X=2, R=1, P=P, norm_type="cLN")
    ahead = ConvTasNet(options, 8000, seed=1)
    for name, parameter in ahead.parameters_and_names():
        if name.endswith("depthwise.weight"):
            taps = parameter.asnumpy().copy()
            taps[P // 2 + 1 :] = 0
            parameter.set_data(ms.Tensor(taps))
    path = str(tmp_path / "ahead.ckpt")
    write_checkpoint(path, ahead)
    training, lines = begun(index, device, path, "--causal", "1", "--norm_type", "cLN", "--P", str(P))
    assert f"{path}: had causal 0, here 1" in lines
    mixture = ms.Tensor(np.random.default_rng(0).standard_normal((1, 400)), ms.float32)
    expected, ours = (net(mixture).asnumpy() for net in (ahead, training.net))
    np.testing.assert_allclose(ours, expected, atol=1e-6)


@pytest.mark.parametrize("Sc", [0, 6])
def test_a_deeper_network_begins_with_what_the_shallower_one_computes(index, device, tmp_path, Sc):
    """And the shallower one with the blocks of its own repeats and dilations, of which each parameter is named."""
    sizes = dict(N=16, L=8, B=8, H=12, Sc=Sc, bias=1)
    shallow = ConvTasNet(NetworkOptions(**sizes, X=2, R=2), 8000, seed=1)
    path = str(tmp_path / "shallow.ckpt")
    write_checkpoint(path, shallow)
    options = ["--Sc", str(Sc), "--bias", "1"]
    training, lines = begun(index, device, path, *options, "--X", "3", "--R", "3", "--seed", "5")
    mixture = ms.Tensor(np.random.default_rng(0).standard_normal((1, 400)), ms.float32)
    np.testing.assert_allclose(training.net(mixture).asnumpy(), shallow(mixture).asnumpy(), atol=1e-6)
    new = [line.removeprefix(f"{path}: has no block ") for line in lines if "adds nothing" in line]
    assert [int(line.split(",")[0]) for line in new] == [2, 5, 6, 7, 8]

    deep = str(tmp_path / "deep.ckpt")
    write_checkpoint(deep, training.net)
    training, lines = begun(index, device, deep, *options, "--X", "2", "--R", "2", "--seed", "6")
    np.testing.assert_allclose(training.net(mixture).asnumpy(), shallow(mixture).asnumpy(), atol=1e-6)
    dropped = [line for line in lines if "(of X 3, R 3) has no place in this network" in line]
    # Of five blocks; where there is a skip path, the last has no residual one's weights and biases.
    assert len(dropped) == 5 * len(shallow.separator.blocks[0].trainable_params()) - (2 if Sc else 0)


@pytest.mark.slow
def test_a_run_that_is_over_stays_as_it_is(three_epochs, index, tmp_path, capsys):
    shutil.copytree(three_epochs, tmp_path / "run")
    train.main(command(index, tmp_path / "run", "--epochs", "3", *AVERAGES))
    assert "3 epochs are done (--epochs 3)" in capsys.readouterr().out
    require_same_run(tmp_path / "run", three_epochs)


@pytest.mark.slow
def test_time_limit_ends_an_epoch_early(index, tmp_path, capsys):
    train.main(command(index, tmp_path, "--epochs", "50", "--max_minutes", "0.001"))
    assert "ended after 0.001 minutes" in capsys.readouterr().out
    assert [epoch["steps"] for epoch in history(tmp_path)] == [1]


@pytest.mark.slow
def test_early_stop_halving_and_accumulation(index, tmp_path):
    """At a learning rate that improves nothing: one epoch, then a halving, then the end."""
    options = ["--lr", "1e-12", "--schedule", "halve", "--patience", "1", "--early_stop", "2", "--accumulate", "2"]
    train.main(command(index, tmp_path, *options))
    epochs = history(tmp_path)
    assert [epoch["steps"] for epoch in epochs] == [3, 3, 3]
    np.testing.assert_allclose([epoch["lr"] for epoch in epochs], [1e-12, 1e-12, 5e-13], rtol=1e-6)
    assert "2 epochs without improvement" in (tmp_path / "train.log").read_text()


@pytest.mark.slow
def test_batch_normalisation_keeps_its_averages(index, tmp_path):
    train.main(command(index, tmp_path, "--epochs", "1", "--norm_type", "BN", "--optimizer", "sgd", "--lr", "1e-4"))
    averages = read_checkpoint(tmp_path / "last.ckpt").parameters["separator.blocks.0.norm_in.running_variance"]
    assert np.abs(averages.asnumpy() - 1).max() > 0.1


@pytest.mark.slow
def test_a_batch_without_a_finite_gradient_is_skipped_and_named(index, tmp_path):
    broken = tmp_path / "index"
    broken.mkdir()
    write_set(broken, loud=[3])
    options = ["--train_dir", str(broken), "--epochs", "2"]
    train.main(command(index, tmp_path / "run", *options))
    epochs, log = history(tmp_path / "run"), (tmp_path / "run" / "train.log").read_text()
    skipped = re.findall(
        r"epoch (\d), step \d: skipped, since its (?:loss|gradient) is not finite; its files: (.*)", log
    )
    assert len(skipped) == sum(epoch["skipped"] for epoch in epochs) >= 2
    for _, files in skipped:
        assert "utterance3" in files and len(files.split(", ")) == 2
    assert epochs[-1]["valid_loss"] < epochs[0]["valid_loss"] < 30
    limited = [*options, "--epochs", "9", "--max_bad_steps", "1"]
    before = (tmp_path / "run" / "best.ckpt").read_bytes()
    with pytest.raises(UserError, match=r"\d steps in a row .*the last good checkpoint is in"):
        train.main(command(index, tmp_path / "run", *limited))
    assert (tmp_path / "run" / "best.ckpt").read_bytes() == before


@pytest.mark.parametrize(
    "options, message",
    [
        (["--C", "3"], "2 sources in a mixture"),
        (["--lr", "0"], "--lr 0.0"),
        (["--segment", "0"], "--segment 0"),
        (["--cv_maxlen", "0.01"], "--cv_maxlen 0.01"),
        (["--sample_rate", "16000"], "run preprocess.py"),
        (["--causal", "1"], "--norm_type cgLN"),
        (["--continue_from", "nowhere.ckpt"], "nowhere.ckpt: no such checkpoint"),
        (["--init_from", "nowhere.ckpt"], "nowhere.ckpt: no such checkpoint"),
        (["--init_from", "a.ckpt", "--continue_from", "b.ckpt"], "give one of them"),
        (["--train_dir", "nowhere"], "nowhere"),
        (["--amp_level", "O2"], "--amp_level O2: MindSpore's CPU has no"),
        (["--distribute", "1"], "scripts/run_distribute_train.sh"),
    ],
)
def test_bad_options_are_one_clear_line(index, tmp_path, options, message):
    with pytest.raises(UserError) as error:
        train.main(command(index, tmp_path, "--epochs", "1", *options))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_with_another_run_is_not_written_over(index, three_epochs, tmp_path):
    shutil.copy(three_epochs / "last.ckpt", tmp_path)
    before = (tmp_path / "last.ckpt").read_bytes()
    with pytest.raises(UserError, match="holds a run already"):
        train.main(command(index, tmp_path, *AVERAGES, "--continue_from", str(three_epochs / "best.ckpt")))
    assert (tmp_path / "last.ckpt").read_bytes() == before


def test_a_checkpoint_that_was_cut_short_is_left_alone(index, three_epochs, tmp_path):
    whole = (three_epochs / "last.ckpt").read_bytes()
    (tmp_path / "last.ckpt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"last\.ckpt: not a checkpoint, or cut short"):
        train.main(command(index, tmp_path))
    assert (tmp_path / "last.ckpt").read_bytes() == whole[: len(whole) // 2]


@pytest.mark.parametrize("options", [["--X", "3"], ["--optimizer", "sgd"]])
def test_going_on_with_what_does_not_fit_is_refused(index, three_epochs, options):
    before = (three_epochs / "last.ckpt").read_bytes()
    with pytest.raises(UserError, match=f"{options[1]}"):
        train.main(command(index, three_epochs, *options))
    assert (three_epochs / "last.ckpt").read_bytes() == before


def test_going_on_from_what_is_no_run_is_refused(index, three_epochs, tmp_path):
    with pytest.raises(UserError, match="not from a training run"):
        train.main(command(index, tmp_path, "--continue_from", str(three_epochs / "average.ckpt")))


def test_memory_comes_from_the_checkpoint_and_lr_from_the_options(index, three_epochs, device):
    """Lowering --lr is the way out that a diverged run is told."""
    args = command(index, three_epochs, *AVERAGES, "--lr", "1e-4")
    args = parse("", "training_data", "data", "network", "training", "device", argv=args)
    training = train.Training(args, device, Ranks(), *2 * [load_index(str(index), 8000)])
    training.begin()
    assert training.step.learning_rate == pytest.approx(1e-4)
    memory = dict([*training.state.of_optimizer(), *training.state.of_average()])
    assert {name.split(".")[0] for name in memory} == {"optimizer", "ema"}
    stored = read_checkpoint(three_epochs / "last.ckpt").parameters
    for name, value in memory.items():
        np.testing.assert_array_equal(value.asnumpy(), stored[name].asnumpy())
