"""The whole of it: a small tree is packed, a tiny network is trained on the CPU, and its weights come over."""

import json

import mindspore as ms
import numpy as np
import pytest
from small_gpu_training import CAUSAL, TINY, options, pack_arguments, write_tree

torch = pytest.importorskip("torch", reason="requirements/extras.txt is not installed")

import convert
from checkpoints.gpu_training import pack, train
from checkpoints.gpu_training.network import ConvTasNet, save_weights
from checkpoints.gpu_training.options import Training
from checkpoints.gpu_training.situations import Mixtures
from checkpoints.gpu_training.speech import Speech
from checkpoints.gpu_training.steps import Trainer, learning_rate
from common.errors import UserError
from model import load_model
from network.in_numpy import load_in_numpy


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """The path of a packed tree."""
    folder = tmp_path_factory.mktemp("speech")
    write_tree(folder)
    pack.main(pack_arguments(folder, folder / "data.npz"))
    return folder / "data.npz"


def random_network(*argv):
    """A tiny network of which no weight is as it is at the start, so that each counts."""
    torch.manual_seed(4)
    net = ConvTasNet(options("Network", "-", *argv))
    with torch.no_grad():
        for weight in net.parameters():
            weight += 0.1 * torch.randn_like(weight)
    return net


def test_pack_keeps_speakers_apart(packed):
    data = np.load(packed)
    assert data["speech_lengths"].sum() == len(data["speech"])
    assert data["unknown"].tolist() == [False, False, False, True, True]  # 2 of 6 and speaker 7; 2 groups
    counts = np.bincount(data["speech_speaker"]).tolist()
    assert counts[:3] == [1, 1, 2] and sum(counts[3:]) == 4  # without the silent file
    assert len(data["noise_lengths"]) == 7  # one of each kind
    assert (data["validation_noisy"] == [False, False, True, True]).all()
    parts = np.split(data["validation"], np.cumsum(data["validation_lengths"])[:-1], 1)
    for noisy, (first, second, noise) in zip(data["validation_noisy"], parts, strict=True):
        assert min(first.std(), second.std()) > 1e-3 and noise.any() == noisy
        assert len(noise) >= 4 * 8000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--left_out", "8"], "--left_out 8: 3 speakers F have a single utterance"),
        (["--left_out", "3"], "--left_out 3"),
        (["--kitchen", "{folder}/unknown/3.wav"], "must last more than 94 s"),
        (["--speech", "nowhere"], "nowhere/train.csv: cannot be read"),
    ],
)
def test_pack_refuses(packed, tmp_path, change, message):
    change = [word.format(folder=packed.parent) for word in change]
    with pytest.raises(UserError) as error:
        pack.main(pack_arguments(packed.parent, tmp_path / "out.npz", *change))
    assert message in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_run_ends_in_time_and_leaves_weights_that_are_ours(packed, tmp_path, device):
    argv = [
        "--data",
        str(packed),
        "--out",
        str(tmp_path),
        "--minutes",
        "0.05",
        "--segment",
        "0.5",
        "--batch_seconds",
        "2",
    ]
    train.main([*argv, "--speed_copies", "3", *TINY])
    figures = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["steps"] == figures[-1]["steps"] >= 1 and result["steps_left_out"] == 0
    assert result["options"]["lr"] == 0.001 and np.isfinite(result["si_snr_improvement"])
    convert.main(["--source", "asteroid", str(tmp_path / "weights_best.npz"), str(tmp_path / "net.ckpt")])
    assert load_in_numpy(tmp_path / "net.ckpt").options.X == 2


@pytest.mark.parametrize("shape", [TINY, CAUSAL], ids=["gLN", "cgLN"])
def test_converted_weights_give_the_same_estimates(shape, tmp_path, device):
    net, mixture = random_network(*shape), 0.1 * np.random.default_rng(1).standard_normal((2, 1203)).astype(np.float32)
    with torch.no_grad():
        expected = net(torch.from_numpy(mixture)).numpy()
    save_weights(tmp_path / "net.npz", net)
    convert.main(["--source", "asteroid", str(tmp_path / "net.npz"), str(tmp_path / "net.ckpt")])
    numpy = load_in_numpy(tmp_path / "net.ckpt")
    for found in (
        np.stack([numpy(each) for each in mixture]),
        load_model(tmp_path / "net.ckpt")(ms.Tensor(mixture)).asnumpy(),
    ):
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() < 1e-5
        assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    assert numpy.sample_rate == 8000 and numpy.options.norm_type == net.options.norm_type


def test_steps_make_the_loss_smaller(packed):
    """On the same mixtures again and again; and the moving average follows the weights."""
    data = dict(np.load(packed))
    mixtures = Mixtures(Speech(data, options("Situations"), torch.device("cpu")), options("Situations"))
    torch.manual_seed(0)
    drawn = mixtures.draw(4, 8 * 65)
    mixtures.draw = lambda M, T: drawn
    trainer = Trainer(ConvTasNet(options("Network", "-", *TINY)), mixtures, options("Training"))
    before = [weight.clone() for weight in trainer.parameters]
    trainer.prepare()
    assert all(torch.equal(*pair) for pair in zip(before, trainer.parameters, strict=True))  # at a rate of 0
    first = trainer.mean_loss(1)
    for _ in range(60):
        trainer.step(3e-3)
    assert trainer.mean_loss(60) < first - 1
    assert trainer.left_out == 0
    averaged, weights, start = (
        torch.cat([each.flatten() for each in of]) for of in (trainer.averaged, trainer.parameters, before)
    )
    assert (averaged - weights).norm() < 0.9 * (start - weights).norm()


def test_learning_rate_rises_and_falls():
    training = Training()
    rates = [learning_rate(training, done) for done in (0, 0.01, 0.02, 0.51, 1, 1.1)]
    assert rates == pytest.approx([0, 5e-4, 1e-3, (1e-3 + 1e-5) / 2, 1e-5, 1e-5])
