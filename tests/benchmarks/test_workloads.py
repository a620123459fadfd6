"""benchmarks/workloads.py: that what is timed is what it is said to be."""

import mindspore as ms
import numpy as np
import pytest
import soundfile

from benchmarks import workloads
from common.command_line import parse
from model import ConvTasNet
from network.in_numpy import NumpyNetwork
from network.options import NetworkOptions

GROUPS = ("benchmark", "data", "network", "precision")
SIZES = ["--N", "16", "--L", "8", "--B", "8", "--H", "16", "--X", "2", "--R", "1"]


@pytest.mark.parametrize("Sc", [0, 6])
def test_products_are_those_of_the_forward_pass(device, Sc):
    N, L, B, H, X, R, C = 12, 8, 5, 10, 2, 2, 3
    options = NetworkOptions(N=N, L=L, B=B, H=H, X=X, R=R, C=C, Sc=Sc)
    products = workloads.Products(options).set_train(False)
    rows = 2 * 7
    frames = np.random.default_rng(0).standard_normal((rows, L)).astype(np.float32)
    *skips, decoded = [tensor.asnumpy() for tensor in products(ms.Tensor(frames))]

    # Every weight is needed for one of the results, by products of these shapes.
    weights = {name: parameter.asnumpy() for name, parameter in products.parameters_and_names()}
    x = frames @ weights.pop("encoder.weight").T @ weights.pop("bottleneck.weight").T
    for i in range(X * R):
        y = x @ weights.pop(f"convs_in.{i}.weight").T
        assert y.shape == (rows, H)
        if Sc:
            skip = y @ weights.pop(f"skips.{i}.weight").T
            np.testing.assert_allclose(skips[i], skip, atol=1e-4)
        if not Sc or i < X * R - 1:
            x = y @ weights.pop(f"residuals.{i}.weight").T
    masks = (skip if Sc else x) @ weights.pop("masks.weight").T
    expected = masks.reshape(rows * C, N) @ weights.pop("decoder.weight").T
    np.testing.assert_allclose(decoded, expected, atol=1e-4)
    assert decoded.shape == (rows * C, L) and len(skips) == (X * R if Sc else 0) and not weights

    block = 2 * B * H + H * Sc
    last = B * H if Sc else 0  # the last residual, where nothing reads it
    total = L * N + N * B + X * R * block - last + (Sc or B) * C * N + C * N * L
    assert products.operations(rows) == 2 * rows * total


def test_noise_is_what_training_takes():
    args = parse(
        "", "benchmark", "data", "network", "precision", argv=["--seconds", "0.25", "--batch", "3", "--C", "3"]
    )
    mixture, lengths, sources = (column.asnumpy() for column in workloads.noise_batch(args))
    assert mixture.shape == (3, 2000) and sources.shape == (3, 3, 2000) and lengths.tolist() == [2000] * 3
    np.testing.assert_allclose(mixture, sources.sum(1), atol=1e-6)
    assert sources.std() == pytest.approx(0.1, rel=0.05)


def test_the_recordings_that_are_separated_are_as_long_as_asked(device, monkeypatch):
    args = parse(
        "", "benchmark", "data", "network", "precision", argv=[*SIZES, "--what", "separate", "--seconds", "1.25"]
    )
    found = []
    monkeypatch.setattr(
        workloads,
        "separate_files",
        lambda net, outputs, **_: found.extend(soundfile.info(path).frames for path in outputs),
    )
    work, facts = workloads.separation(args)
    work()
    assert found == [10000, 10000] and facts["parameters"] > 0


def test_what_separates_is_what_evaluate_and_separate_have(device, monkeypatch):
    monkeypatch.setattr(workloads, "set_precision", lambda *arguments: None)
    for options, kind in (([], NumpyNetwork), (["--amp_level", "O2", "--amp_type", "bfloat16"], ConvTasNet)):
        args = parse("", *GROUPS, argv=[*SIZES, "--what", "evaluate", *options])
        assert isinstance(workloads.network_to_separate(args), kind)
