"""The input pipeline as benchmark.py times it: corpora of noise, and an epoch of training batches from them."""

import argparse
import os
import time

import numpy as np
import psutil  # MindSpore needs and brings it
import soundfile

from common.audio import audio_info
from corpus.dynamic_mixing import DynamicMixtures
from corpus.file_index import MixtureFiles, write_index
from corpus.index import Index
from corpus.loading import load_index
from corpus.mindrecord import write_mindrecord
from corpus.mixture_index import write_mixtures
from corpus.mixtures import Mixture, Track
from data import training_batches

MIXTURES = 200
MIXTURE_SECONDS = (3.0, 12.0)


def write_routes(folder: str, args: argparse.Namespace) -> dict[str, Index]:
    """Write corpora of noise, and an index of each kind. Returns {how the batches come about: index}."""
    files = {f"{ending}, {rate} Hz": write_noise(os.path.join(folder, ending), ending, rate, args)
             for ending, rate in (("flac", 16000), ("wav", 8000))}  # fmt: skip
    on_the_fly = {
        task: write_noise_mixtures(os.path.join(folder, task), os.path.join(folder, "flac"), task, args)
        for task in ("sep_clean", "sep_noisy")
    }
    record = os.path.join(folder, "noise.mindrecord")
    write_mindrecord(files["flac, 16000 Hz"], record)
    return {
        **files,
        **{f"{task}, on the fly": index for task, index in on_the_fly.items()},
        **{f"{task}, dynamic mixing": DynamicMixtures(index, seed=0) for task, index in on_the_fly.items()},
        "MindRecord": load_index(record, args.sample_rate),
    }


def write_noise(folder: str, ending: str, rate: int, args: argparse.Namespace) -> Index:
    """Write mixtures of noise and their sources as files of this ending and rate, and their index.

    Returns the index, for batches at `args.sample_rate`.
    """
    random = np.random.default_rng(0)
    names = ["mix", *(f"s{number + 1}" for number in range(args.C))]
    for name in names:
        os.makedirs(os.path.join(folder, name))
    mixtures = []
    for number in range(MIXTURES):
        sources = 0.1 * random.standard_normal((args.C, int(random.uniform(*MIXTURE_SECONDS) * rate)), np.float32)
        # Named as LibriSpeech names its files, each source's by a speaker of its own.
        paths = [os.path.join(folder, name, f"{number}-1-0.{ending}") for name in names]
        for path, audio in zip(paths, [sources.sum(0), *sources], strict=True):
            soundfile.write(path, audio, rate)
        mixtures.append(MixtureFiles(str(number), tuple(paths), audio_info(paths[0]).frames_at(args.sample_rate)))
    write_index(folder, mixtures)
    return load_index(folder, args.sample_rate)


def write_noise_mixtures(folder: str, corpus: str, task: str, args: argparse.Namespace) -> Index:
    """Write an index that mixes the sources that `write_noise` wrote into the folder `corpus`, at 16 kHz.

    Source 2 is that of the next mixture, and so on; the noise is another mixture. Returns the index.
    """
    mixtures = []
    for number in range(MIXTURES):
        paths = [os.path.join(corpus, f"s{c + 1}", f"{(number + c) % MIXTURES}-1-0.flac") for c in range(args.C)]
        speakers = tuple(Track(path, 0.7, audio_info(path).frames) for path in paths)
        noise = Track(os.path.join(corpus, "mix", f"{number}-1-0.flac"), 0.3) if task != "sep_clean" else None
        mixtures.append(Mixture(str(number), speakers, noise))
    write_mixtures(folder, mixtures, task, "min", args.sample_rate, corpus, noise and corpus)
    return load_index(folder, args.sample_rate)


def time_epoch(index: Index, epoch: int, args: argparse.Namespace) -> tuple[float, float, int]:
    """Read all batches of an epoch of training.

    Returns seconds of audio and examples read in a second, and the bytes of memory that this process holds after it.
    """
    batches = training_batches(index, args.batch, args.seconds[0], 1, 0, epoch, args.num_workers)
    began, samples = time.perf_counter(), 0
    for _, lengths, _ in batches:
        samples += int(lengths.asnumpy().sum())
    seconds = time.perf_counter() - began
    return samples / args.sample_rate / seconds, len(batches.order) / seconds, psutil.Process().memory_info().rss
