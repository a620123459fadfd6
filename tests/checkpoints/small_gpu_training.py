"""What the tests of checkpoints/gpu_training share: a small tree of made-up speech, packed, and tiny networks of it."""

import csv

import numpy as np
import soundfile

from checkpoints.gpu_training import options as of_training

RATE = 16000  # of the files
TINY = ["--N", "16", "--L", "16", "--B", "8", "--H", "64", "--X", "2", "--R", "1"]
CAUSAL = [*TINY, "--causal", "1"]


def utterance(random, seconds):
    """Something that has the loudness of speech: syllables of noise and tones."""
    times = np.arange(int(seconds * RATE)) / RATE
    tone = np.sin(2 * np.pi * random.uniform(100, 900) * times)
    syllables = np.sin(2 * np.pi * random.uniform(1, 3) * times) ** 2
    return 0.1 * syllables * (tone + 0.3 * random.standard_normal(len(times)))


def write_tree(folder):
    """Write a tree of 3 women and 3 men with an utterance each and a man with two, 4 unknown people and a kitchen."""
    random = np.random.default_rng(3)
    (folder / "unknown").mkdir(parents=True)
    rows = []
    for speaker, sex, count in [
        (1, "F", 1),
        (2, "F", 1),
        (3, "F", 1),
        (4, "M", 1),
        (5, "M", 1),
        (6, "M", 1),
        (7, "M", 2),
    ]:
        for number in range(count):
            path = f"train-clean-100/{speaker}/9/{speaker}-9-{number:04d}.flac"
            (folder / "LibriSpeech" / path).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / "LibriSpeech" / path, utterance(random, 4.2 + 0.1 * speaker), RATE)
            rows.append({"speaker_ID": speaker, "sex": sex, "origin_path": path})
    for number in range(4):
        soundfile.write(folder / "unknown" / f"{number}.wav", utterance(random, 2 + number), RATE)
    soundfile.write(folder / "unknown" / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(folder / "kitchen.flac", 0.02 * random.standard_normal(96 * RATE), RATE)
    with open(folder / "train.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def pack_arguments(folder, out, *more):
    """The command line that packs such a tree with the least there can be of everything."""
    paths = ["--speech", folder, "--more", folder / "unknown", "--kitchen", folder / "kitchen.flac", "--out", out]
    few = ["--groups", "2", "--noises", "0.02", "--left_out", "4", "--validation_mixtures", "4"]
    return [*map(str, paths), *few, *more]


def options(group, data="-", *more):
    """A group of options with which a test takes seconds."""
    argv = ["--data", str(data), "--out", "-", "--segment", "0.5", "--batch_seconds", "2", "--speed_copies", "3", *more]
    return of_training.group(getattr(of_training, group), of_training.parse("", argv))
