"""A small training that the tests of train.py share: its data, its command line and what it leaves."""

import json

import numpy as np
import soundfile

from network.checkpoint import read_checkpoint

NETWORK = ["--N", "16", "--L", "8", "--B", "8", "--H", "12", "--X", "2", "--R", "1"]
TRAINING = ["--segment", "0.25", "--batch_size", "2", "--lr", "1e-2", "--num_workers", "1", "--device_target", "CPU"]


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
