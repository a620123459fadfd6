"""What benchmark.py times: passes of the network, the matrix products in them, recordings, and the input pipeline."""

import json
import os
import sys
import tempfile
import time
from collections import deque
from contextlib import redirect_stdout

from device import set_device

import mindspore as ms
import numpy as np
import psutil  # MindSpore needs and brings it
import soundfile
from mindspore import Parameter, nn, ops

from common.audio import audio_info
from config import TRAINING
from corpus.dynamic_mixing import DynamicMixtures
from corpus.file_index import MixtureFiles, write_index
from corpus.loading import load_index
from corpus.mindrecord import write_mindrecord
from corpus.mixture_index import write_mixtures
from corpus.mixtures import Mixture, Track
from data import training_batches
from evaluation.evaluator import evaluate, separated
from evaluation.packing import packed_batches
from model import ConvTasNet, frame_count, parameter_count
from network.options import NetworkOptions
from network_define import NetWithLoss, TrainingStep, make_optimizer
from recordings.inputs import output_paths
from recordings.separation import separate_files
from recordings.streaming import Streamer

UTTERANCES = 200  # of the noise that the input pipeline reads
UTTERANCE_SECONDS = (3.0, 12.0)
EVALUATED = 100  # utterances


def serve(args):
    """Be timed: say when warm, then run and time one round of `args.what` for each line of standard input.

    Args:
        args: options of the groups "benchmark", "data", "network" and "device" of config.py; the length of a mixture
            is the first of `args.seconds`.
    """
    device = set_device(args.device_target, args.device_id)
    prepare = {
        "forward": forward_pass,
        "step": training_step,
        "products": matrix_products,
        "evaluate": evaluation,
        "network": evaluation,
        "equal": evaluation,
        "separate": separation,
        "stream": streaming,
    }[args.what]
    work, facts = prepare(args)
    first_call, *_ = [time_round(work) for _ in range(args.warmup)]
    print(json.dumps({"ready": True, "device": device, **facts, "first_call": first_call}), flush=True)
    for _ in sys.stdin:
        print(json.dumps({"seconds": time_round(work)}), flush=True)


def time_round(work):
    """Seconds that `work()` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def forward_pass(args):
    """Separating a batch: a function that does it and waits for the estimates, and facts about the network."""
    net = make_network(args).set_train(False)
    mixture, _, _ = noise(args)
    return lambda: net(mixture).asnumpy(), {"parameters": parameter_count(net)}


def training_step(args):
    """A step as train.py makes it, with its default optimiser and limit of the gradient's norm; likewise."""
    net = make_network(args)
    name, lr, max_norm = (TRAINING[option]["default"] for option in ("optimizer", "lr", "max_norm"))
    optimizer = make_optimizer(net.trainable_params(), name, lr)
    step = TrainingStep(NetWithLoss(net), optimizer, max_norm).set_train()
    batch = noise(args)
    return lambda: step(batch), {"parameters": parameter_count(net)}


def matrix_products(args):
    """The matrix products of the forward pass and nothing else; likewise, with the operations of a round."""
    options = NetworkOptions.of(args)
    products = Products(options).set_train(False)
    M, K = args.batch, frame_count(samples_of(args), options.hop, options.padding)
    frames = ms.Tensor(np.random.default_rng(0).standard_normal((M * K, options.L), np.float32))
    facts = {"parameters": parameter_count(products), "flop": products.operations(M * K)}
    return lambda: products(frames)[-1].asnumpy(), facts


def evaluation(args):
    """Separating utterances as evaluate.py does and, `args.what` "evaluate", measuring them too; likewise.

    They are of different lengths or, with "equal", of as long ones.
    """
    net = make_network(args).set_train(False)
    mean = samples_of(args)
    spread = 0 if args.what == "equal" else mean
    lengths = mean + np.linspace(-0.5, 0.5, EVALUATED) * spread  # 0.5 to 1.5 of the mean
    index = NoiseIndex(lengths.astype(int), args)
    facts = {"parameters": parameter_count(net), "audio_seconds": float(index.lengths.sum() / args.sample_rate)}
    if args.what == "evaluate":
        return lambda: evaluate(net, index, args.batch, args.num_workers, ["si_snr", "sdr"]), facts
    batches = packed_batches(index, args.batch, net.options, args.num_workers)
    return lambda: deque(separated(net, batches), maxlen=0), facts


def separation(args):
    """What separate.py does with `args.batch` recordings of noise, one by one, from files to files; likewise."""
    net = make_network(args).set_train(False)
    folder = tempfile.TemporaryDirectory()
    files = {os.path.join(folder.name, f"{number}.wav"): str(number) for number in range(args.batch)}
    second = 0.1 * np.random.default_rng(0).standard_normal(args.sample_rate, np.float32)
    for path in files:
        with soundfile.SoundFile(path, "w", args.sample_rate, 1) as file:
            for start in range(0, samples_of(args), len(second)):
                file.write(second[: samples_of(args) - start])

    def work():
        with redirect_stdout(sys.stderr):  # standard output is for what `serve` says
            separate_files(net, output_paths(files, folder.name, args.C, overwrite=True), channel=1, encoding=None)

    return work, {"parameters": parameter_count(net)}


def streaming(args):
    """The next chunk of an endless stream of noise through a causal network; likewise."""
    net = make_network(args).set_train(False)
    streamer = Streamer(net)
    chunk = 0.1 * np.random.default_rng(0).standard_normal(round(args.chunk * args.sample_rate / 1000), np.float32)
    return lambda: streamer.push(chunk), {"parameters": parameter_count(net), "delay_ms": streamer.delay_ms}


class NoiseIndex:
    """Utterances of noise, in memory, as an index of data.py gives them."""

    def __init__(self, lengths, args):
        self.lengths, self.sources, self.sample_rate = lengths, args.C, args.sample_rate
        self.names = [str(number) for number in range(len(lengths))]
        sources = 0.1 * np.random.default_rng(0).standard_normal((args.C, lengths.max()), np.float32)
        self.audio = np.concatenate([sources.sum(0, keepdims=True), sources])  # [1 + C, T]

    def __len__(self):
        return len(self.names)

    def read(self, utterance, start, length):
        return self.audio[:, start : start + length]


def make_network(args):
    return ConvTasNet(NetworkOptions.of(args), args.sample_rate)


def samples_of(args):
    return int(args.seconds[0] * args.sample_rate)


def noise(args):
    """A batch of noise: mixture [M, T], lengths [M], sources [M, C, T], tensors as training takes them."""
    shape = (args.batch, args.C, samples_of(args))
    sources = 0.1 * np.random.default_rng(0).standard_normal(shape, np.float32)
    lengths = np.full(args.batch, shape[2], np.int32)
    return ms.Tensor(sources.sum(1)), ms.Tensor(lengths), ms.Tensor(sources)


class Products(nn.Cell):
    """Every matrix product of a network's forward pass, in its order and shapes, each fed by one before it.

    [M * K, L] -> the skips [M * K, Sc], if any, and the frames [M * K * C, L]; all of them are returned, so that the
    compiler can leave none out.
    """

    def __init__(self, options):
        super().__init__()
        self.C, self.N = options.C, options.N
        self.encoder = Product(options.L, options.N)
        self.bottleneck = Product(options.N, options.B)
        blocks = options.R * options.X
        residuals = blocks - 1 if options.Sc else blocks  # the last residual goes nowhere where skips make the masks
        self.convs_in = nn.CellList([Product(options.B, options.H) for _ in range(blocks)])
        self.residuals = nn.CellList([Product(options.H, options.B) for _ in range(residuals)])
        self.skips = nn.CellList([Product(options.H, options.Sc) for _ in range(blocks if options.Sc else 0)])
        self.masks = Product(options.Sc or options.B, options.C * options.N)
        self.decoder = Product(options.N, options.L)

    def construct(self, frames):
        x = self.bottleneck(self.encoder(frames))  # [M * K, B]
        skips = ()
        for i in range(len(self.convs_in)):
            y = self.convs_in[i](x)  # [M * K, H]
            if len(self.skips) > 0:
                skips = (*skips, self.skips[i](y))  # [M * K, Sc]
            if i < len(self.residuals):
                x = self.residuals[i](y)  # [M * K, B]
        masks = self.masks(skips[-1] if len(self.skips) > 0 else x)  # [M * K, C * N]
        return *skips, self.decoder(masks.reshape(-1, self.N))

    def operations(self, rows):
        """Multiplications and additions for so many rows M * K."""
        weights = sum(parameter.size for parameter in self.trainable_params())
        return 2 * rows * (weights + (self.C - 1) * self.decoder.weight.size)


class Product(nn.Cell):
    """[rows, inputs] -> [rows, outputs], of about the same size as what goes in."""

    def __init__(self, inputs, outputs):
        super().__init__()
        weight = np.random.default_rng(0).standard_normal((outputs, inputs), np.float32) / np.sqrt(np.float32(inputs))
        self.weight = Parameter(ms.Tensor(weight), name="weight")
        self.product = ops.MatMul(transpose_b=True)

    def construct(self, x):
        return self.product(x, self.weight)


def write_routes(folder, args):
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


def write_noise(folder, ending, rate, args):
    """Write mixtures of noise and their sources as files of this ending and rate, and their index.

    Returns the index, for batches at `args.sample_rate`.
    """
    random = np.random.default_rng(0)
    names = ["mix", *(f"s{number + 1}" for number in range(args.C))]
    for name in names:
        os.makedirs(os.path.join(folder, name))
    utterances = []
    for number in range(UTTERANCES):
        sources = 0.1 * random.standard_normal((args.C, int(random.uniform(*UTTERANCE_SECONDS) * rate)), np.float32)
        # Named as LibriSpeech names its files, each source's by a speaker of its own.
        paths = [os.path.join(folder, name, f"{number}-1-0.{ending}") for name in names]
        for path, audio in zip(paths, [sources.sum(0), *sources], strict=True):
            soundfile.write(path, audio, rate)
        utterances.append(MixtureFiles(str(number), tuple(paths), audio_info(paths[0]).frames_at(args.sample_rate)))
    write_index(folder, utterances)
    return load_index(folder, args.sample_rate)


def write_noise_mixtures(folder, corpus, task, args):
    """Write an index that mixes the sources that `write_noise` wrote into the folder `corpus`, at 16 kHz.

    Source 2 is that of the next utterance, and so on; the noise is an utterance's mixture. Returns the index.
    """
    mixtures = []
    for number in range(UTTERANCES):
        paths = [os.path.join(corpus, f"s{c + 1}", f"{(number + c) % UTTERANCES}-1-0.flac") for c in range(args.C)]
        speakers = tuple(Track(path, 0.7, audio_info(path).frames) for path in paths)
        noise = Track(os.path.join(corpus, "mix", f"{number}-1-0.flac"), 0.3) if task != "sep_clean" else None
        mixtures.append(Mixture(str(number), speakers, noise))
    write_mixtures(folder, mixtures, task, "min", args.sample_rate, corpus, noise and corpus)
    return load_index(folder, args.sample_rate)


def time_epoch(index, epoch, args):
    """Read all batches of an epoch of training.

    Returns seconds of audio and examples read in a second, and the bytes of memory that this process holds after it.
    """
    batches = training_batches(index, args.batch, args.seconds[0], 1, 0, epoch, args.num_workers)
    began, samples = time.perf_counter(), 0
    for _, lengths, _ in batches:
        samples += int(lengths.asnumpy().sum())
    seconds = time.perf_counter() - began
    return samples / args.sample_rate / seconds, len(batches.order) / seconds, psutil.Process().memory_info().rss
