"""A small corpus that many tests share: as files with their index, and as LibriMix's metadata of a LibriSpeech."""

import csv
import json

import numpy as np
import soundfile

from common.numbers import ceil_div

RATE = 8000
LENGTHS = [2500, 801, 1600, 333, 4001]
STEP = 1 / 32768  # of a file of 16 bits


def make_corpus(folder, lengths=LENGTHS, speakers=2, rate=RATE, index_rate=RATE, ending="wav"):
    """Write noise files and their index; returns float32 [1 + C, length] of every mixture, itself first."""
    random = np.random.default_rng(7)
    corpus = [random.uniform(-0.9, 0.9, (1 + speakers, length)).astype(np.float32) for length in lengths]
    for row, kind in enumerate(["mix", *(f"s{number + 1}" for number in range(speakers))]):
        (folder / kind).mkdir(parents=True)
        table = []
        for number, signals in enumerate(corpus):
            path = folder / kind / f"u{number}.{ending}"
            soundfile.write(path, signals[row], rate, subtype="FLOAT" if ending == "wav" else "PCM_16")
            table.append([str(path), ceil_div(signals.shape[1] * index_rate, rate)])
        (folder / f"{kind}.json").write_text(json.dumps(table))
    return corpus


def arrays(batches):
    """Every batch, as numpy arrays."""
    return [tuple(column.asnumpy() for column in batch) for batch in batches]


def rows(batches):
    """Every row of all batches: (mixture [T], length, sources [C, T])."""
    return [row for batch in arrays(batches) for row in zip(*batch, strict=True)]


def assert_same(first, second):
    assert len(first) == len(second)
    for batch, other in zip(first, second, strict=True):
        for column, same in zip(batch, other, strict=True):
            np.testing.assert_array_equal(column, same)


def write_metadata(path, mixtures):
    """Write rows [(name, [(source path, gain), ...], (noise path, gain)), ...] as LibriMix metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    speakers = len(mixtures[0][1])
    tracks = [f"source_{number + 1}" for number in range(speakers)] + ["noise"]
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["mixture_ID", *(f"{track}_{what}" for track in tracks for what in ("path", "gain"))])
        for name, sources, noise in mixtures:
            writer.writerow([name, *(value for pair in (*sources, noise) for value in pair)])


def options_of(corpus, task="sep_clean", noise_dir="noises"):
    noisy = [] if task == "sep_clean" else ["--noise-dir", corpus / noise_dir, "--task", task]
    return ["--librispeech-dir", corpus / "LibriSpeech", "--metadata-dir", corpus / "md", *noisy]


def make_index(corpus, out, *options, **which):
    """Index what the fixture `corpus` has, into the folder `out`, which is returned."""
    import preprocess

    preprocess.main([*map(str, options_of(corpus, **which)), "--out-dir", str(out), *map(str, options)])
    return out


def small_batches(index, batch_size=3, segment=0.1, shuffle=1, seed=0, epoch=0, num_workers=1):
    """`training_batches` with values that many tests share."""
    from data import training_batches

    return training_batches(index, batch_size, segment, shuffle, seed, epoch, num_workers)
