"""What benchmark.py times: passes of the network, the matrix products in them, evaluation and recordings."""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

from device import Network, set_device

import mindspore as ms
import numpy as np
import soundfile
from mindspore import Parameter, nn, ops

from config import TRAINING
from evaluation.evaluator import evaluate, separated
from model import ConvTasNet
from network.in_numpy import NumpyNetwork
from network.options import NetworkOptions, frame_count, parameter_count
from network.precision import set_precision
from network_define import NetWithLoss, TrainingStep, make_optimizer
from recordings.output_paths import output_paths
from recordings.separation import separate_files
from recordings.streaming import Streamer

EVALUATED = 100  # mixtures

# A function that does a round's work and waits for its end, and facts about it, as `serve` prints them.
Workload = tuple[Callable[[], Any], dict[str, Any]]


def serve(args: argparse.Namespace) -> None:
    """Be timed: print a line when warm, then run and time one round of `args.what` for each line of standard input.

    Args:
        args: options of the groups "benchmark", "data", "network", "device" and "precision" of config.py; the length
            of a mixture is the first of `args.seconds`.
    """
    device = set_device(args.device_target, args.device_id, args.jit_level, args.hf32)
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


def time_round(work: Callable[[], Any]) -> float:
    """Seconds that `work()` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def forward_pass(args: argparse.Namespace) -> Workload:
    """Separating a batch."""
    net = make_network(args).set_train(False)
    mixture, _, _ = noise_batch(args)
    return lambda: net(mixture).asnumpy(), {"parameters": parameter_count(net)}


def training_step(args: argparse.Namespace) -> Workload:
    """A step as train.py makes it, with its default optimiser and limit of the gradient's norm."""
    net = make_network(args)
    name, lr, max_norm = (TRAINING[option]["default"] for option in ("optimizer", "lr", "max_norm"))
    optimizer = make_optimizer(net.trainable_params(), name, lr)
    step = TrainingStep(NetWithLoss(net), optimizer, max_norm).set_train()
    batch = noise_batch(args)
    return lambda: step(batch), {"parameters": parameter_count(net)}


def matrix_products(args: argparse.Namespace) -> Workload:
    """The matrix products of the forward pass and nothing else; `flop` are the operations of a round."""
    options = NetworkOptions.of(args)
    products = Products(options).set_train(False)
    M, K = args.batch, frame_count(mixture_samples(args), options.hop, options.padding)
    frames = ms.Tensor(np.random.default_rng(0).standard_normal((M * K, options.L), np.float32))
    facts = {"parameters": parameter_count(products), "flop": products.operations(M * K)}
    return lambda: products(frames)[-1].asnumpy(), facts


def evaluation(args: argparse.Namespace) -> Workload:
    """Separating mixtures as evaluate.py does and, where `args.what` is "evaluate", measuring them too.

    They differ in length or, with "equal", are all as long as the others are on average.
    """
    net = network_to_separate(args)
    mean = mixture_samples(args)
    parts = np.ones(EVALUATED) if args.what == "equal" else np.linspace(0.5, 1.5, EVALUATED)  # of the mean
    lengths = mean * parts
    index = NoiseIndex(lengths.astype(int), args)
    facts = {"parameters": parameter_count(net), "audio_seconds": float(index.lengths.sum() / args.sample_rate)}
    if args.what == "evaluate":
        return lambda: evaluate(net, index, args.batch, args.num_workers, ["si_snr", "sdr"]), facts
    return lambda: deque(separated(net, index, args.batch, args.num_workers), maxlen=0), facts


def separation(args: argparse.Namespace) -> Workload:
    """What separate.py does with `args.batch` recordings of noise, one by one, from files to files."""
    net = network_to_separate(args)
    folder = tempfile.TemporaryDirectory()
    files = {os.path.join(folder.name, f"{number}.wav"): str(number) for number in range(args.batch)}
    second = 0.1 * np.random.default_rng(0).standard_normal(args.sample_rate, np.float32)
    for path in files:
        with soundfile.SoundFile(path, "w", args.sample_rate, 1) as file:
            for start in range(0, mixture_samples(args), len(second)):
                file.write(second[: mixture_samples(args) - start])

    def work():
        with redirect_stdout(sys.stderr):  # standard output is for what `serve` prints
            outputs = output_paths(files, folder.name, args.C, overwrite=True)
            separate_files(net, outputs, channel=1, encoding=None)

    return work, {"parameters": parameter_count(net)}


def streaming(args: argparse.Namespace) -> Workload:
    """The next chunk of an endless stream of noise through a causal network."""
    net = make_network(args).set_train(False)
    streamer = Streamer(NumpyNetwork.of(net))
    chunk = 0.1 * np.random.default_rng(0).standard_normal(round(args.chunk * args.sample_rate / 1000), np.float32)
    return lambda: streamer.push(chunk), {"parameters": parameter_count(net), "delay_ms": streamer.delay_ms}


class NoiseIndex:
    """Mixtures of noise, in memory, as an index of data.py gives them."""

    def __init__(self, lengths: np.ndarray, args: argparse.Namespace):
        self.lengths, self.sources, self.sample_rate = lengths, args.C, args.sample_rate
        self.names = [str(number) for number in range(len(lengths))]
        sources = 0.1 * np.random.default_rng(0).standard_normal((args.C, lengths.max()), np.float32)
        self.audio = np.concatenate([sources.sum(0, keepdims=True), sources])  # [1 + C, T]

    def __len__(self):
        return len(self.names)

    def read(self, mixture: int, start: int, length: int) -> np.ndarray:
        return self.audio[:, start : start + length]  # [1 + C, T]


def make_network(args: argparse.Namespace) -> ConvTasNet:
    """The network that the options ask for."""
    net = ConvTasNet(NetworkOptions.of(args), args.sample_rate)
    set_precision(net, args.amp_level, args.amp_type, ms.get_context("device_target"))
    return net


def network_to_separate(args: argparse.Namespace) -> Network:
    """The same, in the form in which `device.load_to_separate` gives it."""
    net = make_network(args).set_train(False)
    in_numpy = ms.get_context("device_target") == "CPU" and args.amp_level == "O0"
    return NumpyNetwork.of(net) if in_numpy else net


def mixture_samples(args: argparse.Namespace) -> int:
    """Samples of a mixture."""
    return int(args.seconds[0] * args.sample_rate)


def noise_batch(args: argparse.Namespace) -> tuple[ms.Tensor, ms.Tensor, ms.Tensor]:
    """A batch of noise: mixture [M, T], lengths [M], sources [M, C, T], tensors as training takes them."""
    shape = (args.batch, args.C, mixture_samples(args))
    sources = 0.1 * np.random.default_rng(0).standard_normal(shape, np.float32)
    lengths = np.full(args.batch, shape[2], np.int32)
    return ms.Tensor(sources.sum(1)), ms.Tensor(lengths), ms.Tensor(sources)


class Products(nn.Cell):
    """Every matrix product of a network's forward pass, in its order and shapes, each fed by one before it.

    [M * K, L] -> the skips [M * K, Sc], if any, and the frames [M * K * C, L]; all of them are returned, so that the
    compiler can leave none out.
    """

    def __init__(self, options: NetworkOptions):
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

    def operations(self, rows: int) -> int:
        """Multiplications and additions for so many rows M * K."""
        weights = sum(parameter.size for parameter in self.trainable_params())
        return 2 * rows * (weights + (self.C - 1) * self.decoder.weight.size)


class Product(nn.Cell):
    """[rows, inputs] -> [rows, outputs], with numbers of about the same size."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        weight = np.random.default_rng(0).standard_normal((outputs, inputs), np.float32) / np.sqrt(np.float32(inputs))
        self.weight = Parameter(ms.Tensor(weight), name="weight")
        self.product = ops.MatMul(transpose_b=True)

    def construct(self, x):
        return self.product(x, self.weight)
