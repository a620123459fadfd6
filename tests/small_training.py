"""A small training that the tests of train.py share: its data, its command line and what it leaves."""

import json
from importlib.util import find_spec

import mindspore as ms
import numpy as np
import soundfile

from network.checkpoint import read_checkpoint

NETWORK = ["--N", "16", "--L", "8", "--B", "8", "--H", "12", "--X", "2", "--R", "1"]
TRAINING = ["--segment", "0.25", "--batch_size", "2", "--lr", "1e-2", "--num_workers", "1", "--device_target", "CPU"]
AVERAGES = ["--ema", "0.9", "--average_best", "2", "--keep_checkpoint_max", "3"]
HAS_TENSORBOARD = find_spec("tensorboardX") is not None  # of requirements/extras.txt


def write_set(folder, seed=0, loud=(), low=(100, 200), high=(1500, 2500)):
    """Five mixtures of a low and a high buzz, of so many Hz, 0.3 to 0.5 s; squares of those named `loud` overflow."""
    random = np.random.default_rng(seed)
    rows = {"mix": [], "s1": [], "s2": []}
    for number in range(5):
        samples = int(random.integers(2400, 4000))
        time = np.arange(samples) / 8000
        one, other = (0.3 * np.sin(2 * np.pi * random.uniform(*range_of) * time) for range_of in (low, high))
        gain = 1e30 if number in loud else 1
        for name, signal in {"mix": one + other, "s1": one, "s2": other}.items():
            (folder / name).mkdir(exist_ok=True)
            path = folder / name / f"utterance{number}.wav"
            soundfile.write(path, gain * signal, 8000, subtype="FLOAT")
            rows[name].append([str(path), samples])
    for name, table in rows.items():
        (folder / f"{name}.json").write_text(json.dumps(table))
    return folder


def command(index, folder, *more):
    directories = ["--train_dir", str(index), "--valid_dir", str(index), "--save_folder", str(folder)]
    return [*directories, *NETWORK, *TRAINING, *more]


def history(folder, name="last.ckpt"):
    return read_checkpoint(folder / name).progress["history"]


def loss_and_improvement(net, index):
    """Mean loss and SI-SNR improvement in dB of a network over a set of `write_set`, from the definition."""
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
