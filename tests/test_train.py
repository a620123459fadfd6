"""train.py: it learns, it leaves what it says in the folder, and it refuses what makes no sense.

tests/training/ holds what the parts do, such as going on where a run stopped (test_run_state.py).
"""

import json
import re

import numpy as np
import pytest
from small_training import HAS_TENSORBOARD, command, history, loss_and_improvement, write_set

import train
from common.errors import UserError
from model import load_model
from network.checkpoint import read_checkpoint


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
        expected = np.mean([file[name] for file in files], axis=0, dtype=np.float64)
        np.testing.assert_allclose(parameter, expected, rtol=1e-6, atol=1e-9, err_msg=name)
    loss, _ = loss_and_improvement(load_model(three_epochs / "average.ckpt"), index)
    assert mean.progress["valid_loss"] == pytest.approx(loss, abs=1e-3)


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
    assert np.abs(averages - 1).max() > 0.1


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
