"""Training: it learns, it goes on where it stopped, and it refuses what makes no sense."""

import json

import mindspore as ms
import numpy as np
import pytest
import soundfile

import train
from checkpoint import read_checkpoint
from config import parse
from errors import UserError
from model import load_model

NETWORK = ["--N", "16", "--L", "8", "--B", "8", "--H", "12", "--X", "2", "--R", "1"]
TRAINING = ["--segment", "0.25", "--batch_size", "2", "--lr", "1e-2", "--num_workers", "1", "--device_target", "CPU"]


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """Five mixtures of a low and a high buzz, 0.3 to 0.5 s; the odd number leaves a last batch of one."""
    folder = tmp_path_factory.mktemp("index")
    random = np.random.default_rng(0)
    rows = {"mix": [], "s1": [], "s2": []}
    for number in range(5):
        samples = int(random.integers(2400, 4000))
        time = np.arange(samples) / 8000
        low = 0.3 * np.sin(2 * np.pi * random.uniform(100, 200) * time)
        high = 0.3 * np.sin(2 * np.pi * random.uniform(1500, 2500) * time)
        for name, signal in {"mix": low + high, "s1": low, "s2": high}.items():
            (folder / name).mkdir(exist_ok=True)
            path = folder / name / f"{number}.wav"
            soundfile.write(path, signal, 8000)
            rows[name].append([str(path), samples])
    for name, table in rows.items():
        (folder / f"{name}.json").write_text(json.dumps(table))
    return folder


def command(index, folder, *more):
    directories = ["--train_dir", str(index), "--valid_dir", str(index), "--save_folder", str(folder)]
    return [*directories, *NETWORK, *TRAINING, *more]


@pytest.fixture(scope="module")
def three_epochs(index, tmp_path_factory):
    """The folder of a run of three epochs."""
    folder = tmp_path_factory.mktemp("run")
    train.main(command(index, folder, "--epochs", "3"))
    return folder


@pytest.mark.slow
def test_it_learns_and_keeps_the_best(three_epochs):
    history = read_checkpoint(three_epochs / "last.ckpt").progress["history"]
    losses = [epoch["valid_loss"] for epoch in history]
    assert len(losses) == 3
    assert losses[-1] < losses[0] - 1
    best = read_checkpoint(three_epochs / "best.ckpt").progress["history"]
    assert best[-1]["valid_loss"] == min(losses)


@pytest.mark.slow
def test_the_loss_in_the_history_is_the_networks(three_epochs, index):
    """The mean over the utterances, computed one by one from the definition."""
    net = load_model(three_epochs / "last.ckpt")
    values = []
    for name in (f"{number}.wav" for number in range(5)):
        mixture, *sources = (soundfile.read(index / part / name)[0] for part in ("mix", "s1", "s2"))
        estimates = net(ms.Tensor(mixture[None].astype(np.float32))).asnumpy()[0]
        orders = (estimates, estimates[::-1])
        values.append(max(np.mean([si_snr(*pair) for pair in zip(order, sources, strict=True)]) for order in orders))
    expected = read_checkpoint(three_epochs / "last.ckpt").progress["history"][-1]["valid_loss"]
    assert -np.mean(values) == pytest.approx(expected, abs=1e-3)


def si_snr(estimate, source):
    estimate, source = estimate - estimate.mean(), source - source.mean()
    target = estimate @ source / (source @ source) * source
    return 10 * np.log10((target @ target) / np.sum((estimate - target) ** 2))


@pytest.mark.slow
def test_a_run_that_went_on_equals_one_that_did_not_stop(three_epochs, index, tmp_path):
    train.main(command(index, tmp_path, "--epochs", "1"))
    train.main(command(index, tmp_path, "--epochs", "3", "--continue_from", str(tmp_path / "last.ckpt")))
    resumed, whole = read_checkpoint(tmp_path / "last.ckpt"), read_checkpoint(three_epochs / "last.ckpt")
    assert resumed.parameters.keys() == whole.parameters.keys()
    for name, parameter in whole.parameters.items():
        np.testing.assert_array_equal(resumed.parameters[name].asnumpy(), parameter.asnumpy(), err_msg=name)
    losses = [[epoch["train_loss"] for epoch in run.progress["history"]] for run in (resumed, whole)]
    assert losses[0] == losses[1]


@pytest.mark.slow
def test_time_limit_ends_an_epoch_early(index, tmp_path, capsys):
    train.main(command(index, tmp_path, "--epochs", "50", "--max_minutes", "0.001"))
    assert "ended after 0.001 minutes" in capsys.readouterr().out
    assert len(read_checkpoint(tmp_path / "last.ckpt").progress["history"]) == 1


@pytest.mark.slow
def test_batch_normalisation_keeps_its_averages(index, tmp_path):
    train.main(command(index, tmp_path, "--epochs", "1", "--norm_type", "BN", "--optimizer", "sgd", "--lr", "1e-4"))
    averages = read_checkpoint(tmp_path / "last.ckpt").parameters["separator.blocks.0.norm_in.running_variance"]
    assert np.abs(averages.asnumpy() - 1).max() > 0.1


def test_a_smaller_batch_is_filled_up_with_silence():
    batch = tuple(ms.Tensor(np.ones(shape, np.float32)) for shape in ((1, 5), (1,), (1, 2, 5)))
    mixture, lengths, sources = train.fill_up(batch, 3)
    assert (mixture.shape, lengths.shape, sources.shape) == ((3, 5), (3,), (3, 2, 5))
    np.testing.assert_array_equal(lengths.asnumpy(), [1, 0, 0])
    assert mixture.asnumpy()[1:].sum() == 0


@pytest.mark.parametrize(
    "options, message",
    [
        (["--C", "3"], "2 sources in a mixture"),
        (["--lr", "0"], "--lr 0.0"),
        (["--lr", "nan"], "--lr nan"),
        (["--batch_size", "0"], "--batch_size 0"),
        (["--momentum", "0.9"], "--optimizer sgd"),
        (["--max_norm", "-1"], "--max_norm -1"),
        (["--seed", "-1"], "--seed -1"),
        (["--segment", "0"], "--segment 0"),
        (["--cv_maxlen", "0.01"], "--cv_maxlen 0.01"),
        (["--sample_rate", "16000"], "run preprocess.py"),
        (["--causal", "1"], "--norm_type cgLN"),
        (["--continue_from", "nowhere.ckpt"], "nowhere.ckpt: no such checkpoint"),
        (["--train_dir", "nowhere"], "nowhere"),
    ],
)
def test_bad_options_are_one_clear_line(index, tmp_path, options, message):
    with pytest.raises(UserError) as error:
        train.main(command(index, tmp_path, "--epochs", "1", *options))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_with_a_run_is_not_written_over(index, three_epochs):
    before = (three_epochs / "last.ckpt").read_bytes()
    with pytest.raises(UserError, match="holds a run already"):
        train.main(command(index, three_epochs, "--epochs", "1"))
    assert (three_epochs / "last.ckpt").read_bytes() == before


def test_a_folder_with_another_run_is_not_written_over(index, three_epochs, tmp_path):
    (tmp_path / "last.ckpt").write_bytes(b"another run")
    with pytest.raises(UserError, match="holds a run already"):
        train.main(command(index, tmp_path, "--continue_from", str(three_epochs / "last.ckpt")))
    assert (tmp_path / "last.ckpt").read_bytes() == b"another run"


def test_nothing_left_to_train_is_refused(index, three_epochs):
    with pytest.raises(UserError, match=r"--epochs 3: .*last\.ckpt has 3 behind it"):
        train.main(command(index, three_epochs, "--continue_from", str(three_epochs / "last.ckpt"), "--epochs", "3"))


def test_options_of_the_optimiser_are_those_given_and_not_the_checkpoints(index, three_epochs):
    """Lowering --lr is the way out that a diverged run is told."""
    last = str(three_epochs / "last.ckpt")
    args = command(index, three_epochs, "--continue_from", last, "--lr", "1e-4")
    groups = ("training_data", "data", "network", "training", "device")
    training = train.Training(parse("", *groups, argv=args))
    assert training.step.optimizer.learning_rate.asnumpy() == pytest.approx(1e-4)
    moments = {name: value for name, value in training.optimizer_state() if "moment1" in name}
    stored = read_checkpoint(last).parameters
    assert moments
    for name, value in moments.items():
        np.testing.assert_array_equal(value.asnumpy(), stored[name].asnumpy())


def test_a_loss_that_is_not_finite_ends_the_run():
    with pytest.raises(UserError, match="lower --lr"):
        train.require_finite(float("nan"), "validation after epoch 3")
    train.require_finite(-12.5, "validation after epoch 3")


def test_going_on_with_another_network_is_refused(index, three_epochs):
    with pytest.raises(UserError, match="give the same options"):
        train.main(command(index, three_epochs, "--continue_from", str(three_epochs / "last.ckpt"), "--X", "3"))
