"""recordings/streaming.py: a stream in chunks of any size gives what the network gives for the whole."""

import io
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
import soundfile
from test_model import network as random_network
from test_model import pynative  # noqa: F401, a fixture for all tests here: many shapes would be compiled

import separate
from common.errors import UserError
from model import ConvTasNet
from network.checkpoint import write_checkpoint
from network.in_numpy import NumpyNetwork
from network.numpy_layers import FRAMES_AT_ONCE
from network.options import NetworkOptions
from recordings.offset import OffsetFilter
from recordings.streaming import Streamer

ROOT = Path(__file__).parents[2]


def network(**options):
    """A causal network with random weights."""
    return random_network(**dict(X=3, R=2, causal=1) | options)


def offline(net, mixture):
    return net(ms.Tensor(mixture[np.newaxis])).asnumpy()[0]


def stream(streamer, mixture, sizes):
    """Push the mixture in chunks of these sizes, over and over; returns all estimates [C, T]."""
    estimates, start = [], 0
    while start < len(mixture):
        size = sizes[len(estimates) % len(sizes)]
        estimates.append(streamer.push(mixture[start : start + size]))
        start += size
    return np.concatenate([*estimates, streamer.finish()], axis=1)


def noise(samples):
    return np.random.default_rng(1).standard_normal(samples).astype(np.float32)


@pytest.mark.parametrize(
    "options",
    [
        dict(norm_type="cLN"),
        dict(norm_type="cLN", P=2, padding="none", mask_nonlinear="softmax", C=3),
        dict(norm_type="cgLN", Sc=5, bias=1, mask_prelu=1),
        dict(norm_type="cgLN", padding="both", encoder_relu=0, mask_nonlinear="sigmoid"),
        dict(norm_type="BN", Sc=5, bias=1, input_norm="cLN"),
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_chunks_of_any_size_give_what_the_whole_gives(options):
    net = network(**options)
    mixture = noise(4 * (FRAMES_AT_ONCE + 50) + 3)
    expected = offline(net, mixture)
    streamer = Streamer(NumpyNetwork.of(net))
    for sizes in ([len(mixture)], [160], [1, 7, 0, 40, 3]):
        found = stream(streamer, mixture, sizes)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=1e-5 * max(1, np.abs(expected).max()), err_msg=str(sizes))


def test_an_offset_is_not_heard():
    net, mixture = network(norm_type="cgLN"), 0.1 * noise(4000)
    mixture[:800] *= 0.01
    expected = offline(net, OffsetFilter(net.sample_rate)(mixture + np.float32(0.2)))
    streamer = Streamer(NumpyNetwork.of(net))
    for _ in range(2):  # the next stream begins anew
        np.testing.assert_allclose(stream(streamer, mixture + np.float32(0.2), [160]), expected, atol=1e-5)


@pytest.mark.parametrize("samples", [1, 3, 4, 7, 8, 9, 50])
@pytest.mark.parametrize("padding", ["tail", "none", "both"])
def test_short_streams(padding, samples):
    net = network(norm_type="cgLN", padding=padding)
    mixture = noise(samples)
    np.testing.assert_allclose(stream(Streamer(NumpyNetwork.of(net)), mixture, [3]), offline(net, mixture), atol=1e-5)


def test_output_lags_one_hop_and_no_more():
    """Once so many samples are in, all but the last hop is out, whatever the rest will be."""
    net = network(norm_type="cLN")
    streamer = Streamer(NumpyNetwork.of(net))
    hop = net.options.hop
    assert streamer.delay_ms == 1000 * hop / 8000
    mixture = noise(50 * hop)
    for k in range(50):
        streamer.push(mixture[k * hop : (k + 1) * hop])
        assert streamer.given == k * hop


def size_of(thing):
    """Numbers in all arrays that an object holds, at any depth."""
    if isinstance(thing, np.ndarray):
        return thing.size
    if isinstance(thing, (list, tuple)):
        return sum(map(size_of, thing))
    return sum(map(size_of, vars(thing).values())) if hasattr(thing, "__dict__") else 0


@pytest.mark.parametrize("norm_type", ["cLN", "cgLN"])
def test_state_does_not_grow(norm_type):
    streamer = Streamer(NumpyNetwork.of(network(norm_type=norm_type)))
    sizes = []
    for _ in range(3):
        for _ in range(20):
            streamer.push(noise(160))
        sizes.append(size_of(streamer))
    assert sizes[0] == sizes[1] == sizes[2]


def test_a_network_that_looks_ahead_is_refused():
    with pytest.raises(UserError, match="--causal 1"):
        Streamer(NumpyNetwork.of(ConvTasNet(NetworkOptions(N=12, L=8, B=6, H=8, X=1, R=1), 8000)))


def test_samples_of_two_channels_are_refused():
    with pytest.raises(UserError, match="one channel"):
        Streamer(NumpyNetwork.of(network(norm_type="cLN"))).push(np.zeros((2, 10), np.float32))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("causal") / "causal.ckpt")
    write_checkpoint(path, network(norm_type="cgLN"))
    return path


def separate_standard_input(checkpoint, given, *options):
    command = [sys.executable, "separate.py", "--model_path", checkpoint, "--device_target", "CPU", "--streaming", "-"]
    return subprocess.run([*command, *options], cwd=ROOT, input=given, capture_output=True)


def as_wav(samples, sample_rate=8000):
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate, format="WAV", subtype="FLOAT")
    return file.getvalue()


def test_standard_streams(checkpoint):
    mixture = noise(4001)
    done = separate_standard_input(checkpoint, as_wav(mixture), "--chunk", "13")
    assert done.returncode == 0, done.stderr
    assert b"0.5 ms after" in done.stderr
    header, samples = done.stdout[:44], np.frombuffer(done.stdout[44:], np.float32).reshape(-1, 2)
    assert header[:4] == b"RIFF" and header[36:40] == b"data"
    np.testing.assert_allclose(samples.T, offline(network(norm_type="cgLN"), mixture), atol=1e-5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (as_wav(np.zeros(100), 16000), "16000 Hz"),
        (as_wav(np.zeros((100, 2))), "2 channels"),
        (as_wav(np.full(100, np.nan, np.float32)), "NaN"),
        (as_wav(np.zeros(0)), "empty"),
    ],
    ids=["rate", "stereo", "nan", "empty"],
)
def test_bad_standard_input_is_refused(checkpoint, tmp_path, monkeypatch, given, message):
    (tmp_path / "given.wav").write_bytes(given)
    with open(tmp_path / "given.wav", "rb") as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        with pytest.raises(UserError, match=message) as error:
            separate.main(["--model_path", checkpoint, "--device_target", "CPU", "--streaming", "-"])
    assert str(error.value).startswith("standard input: ") and "\n" not in str(error.value)


def test_bad_standard_input_is_one_line(checkpoint):
    done = separate_standard_input(checkpoint, b"not a wav")
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if line.startswith(b"error: ")]
    assert len(lines) == 1
    assert b"standard input: not wav" in lines[0]
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("options", [["--streaming", "-"], ["-"]])
def test_an_output_that_nobody_reads_on_is_one_line(checkpoint, options, tmp_path):
    (tmp_path / "x.wav").write_bytes(as_wav(noise(40000)))
    command = [sys.executable, "separate.py", "--model_path", checkpoint, "--device_target", "CPU", *options]
    pipe = subprocess.PIPE
    with (
        open(tmp_path / "x.wav", "rb") as given,
        subprocess.Popen(command, cwd=ROOT, stdin=given, stdout=pipe, stderr=pipe) as process,
    ):
        process.stdout.close()
        errors = process.stderr.read()
    assert process.returncode == 2
    assert b"error: standard output: cannot be written (Broken pipe)" in errors.splitlines()[-1]
    assert b"Traceback" not in errors


@pytest.mark.parametrize(
    "options",
    [["a.wav"], ["--streaming", "a.wav"], ["--streaming", "-", "--out_dir", "x"], ["-"], ["a.wav", "--out_dir", "x",
     "--chunk", "5"]],
)  # fmt: skip
def test_options_that_do_not_go_together(options):
    with pytest.raises(UserError):
        separate.main([*options, "--model_path", "any", "--device_target", "CPU"])


def test_a_stream_has_no_half_precision():
    with pytest.raises(UserError, match=r"^--amp_level O2: plain numpy separates a stream"):
        separate.main(["--streaming", "-", "--amp_level", "O2", "--amp_type", "bfloat16"])
