"""The C++ program, built once a session, and small networks that are exported for it; a plugin of conftest.py.

On the CPU, by MindSpore Lite 2.0.0.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "ascend310_infer"
SIZES = dict(N=16, L=8, B=8, H=8, X=2, R=1)
NETWORKS = {
    "gLN": dict(),
    "causal": dict(norm_type="cLN", causal=1, mask_nonlinear="sigmoid", padding="none", bias=1),
    "skip": dict(Sc=8, norm_type="BN", C=3, mask_prelu=1, mask_nonlinear="softmax", padding="both"),
}
LENGTH = 803  # samples, not whole hops


@pytest.fixture(scope="session")
def compiler():
    """Skips where nothing can be compiled."""
    cmake = shutil.which("cmake") or shutil.which("cmake", path=Path(sys.executable).parent)
    missing = [name for name, place in {"cmake": cmake, "c++": shutil.which("c++")}.items() if not place]
    if missing:
        pytest.skip(f"needs {' and '.join(missing)}, which this machine has not")


@pytest.fixture(scope="session")
def lite(compiler):
    """The folder of MindSpore Lite."""
    if "MS_LITE_HOME" in os.environ:
        return os.environ["MS_LITE_HOME"]
    result = subprocess.run(["bash", ROOT / "scripts/setup_lite.sh"], capture_output=True, text=True)
    if result.returncode:
        pytest.skip(f"needs MindSpore Lite: {last_line(result.stderr)}")
    return result.stdout.strip()


def build(folder, *options, **environment):
    """Build into a folder, which is returned; the compiler must have nothing to say."""
    result = subprocess.run(
        ["bash", SOURCES / "build.sh", folder, *options],
        capture_output=True, text=True, env=os.environ | environment,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert "warning" not in (result.stdout + result.stderr).lower()
    return folder


@pytest.fixture(scope="session")
def program(lite, tmp_path_factory):
    """The folder of main and convert."""
    return build(tmp_path_factory.mktemp("build"), MS_LITE_HOME=lite)


@pytest.fixture(scope="session")
def sanitized(lite, tmp_path_factory):
    """The folder of main and fuzz_samples, that stop at memory errors and undefined behaviour."""
    return build(tmp_path_factory.mktemp("sanitized"), "-DSANITIZE=ON", MS_LITE_HOME=lite)


@pytest.fixture(scope="session")
def exported(device, program, tmp_path_factory):
    """Makes a MindIR file of a network, for MindSpore Lite: gives it and the network."""
    pytest.importorskip("onnxruntime")
    import export
    from model import ConvTasNet
    from network.checkpoint import write_checkpoint
    from network.options import NetworkOptions

    made = {}

    def make(name, batch_size=1):
        if (name, batch_size) not in made:
            folder = tmp_path_factory.mktemp("exported")
            net = ConvTasNet(NetworkOptions(**SIZES, **NETWORKS[name]), 8000, seed=3).set_train(False)
            write_checkpoint(folder / "net.ckpt", net)
            export.export(net, str(folder / "net.onnx"), "ONNX", batch_size, LENGTH, str(folder / "net.ckpt"), "CPU")
            subprocess.run([program / "convert", folder / "net.onnx", folder / "net"], check=True)
            shutil.copy(folder / "net.onnx.json", folder / "net.mindir.json")
            made[name, batch_size] = folder / "net.mindir", net
        return made[name, batch_size]

    return make


def run_main(program, *arguments, **options):
    return subprocess.run([program / "main", *arguments], capture_output=True, text=True, **options)


def arguments(model, inputs, outputs, device_type="CPU"):
    return ["--model", model, "--input", inputs, "--output", outputs, "--device_type", device_type]


def last_line(text):
    return text.strip().splitlines()[-1]


def assert_equal(found, expected):
    """Sample by sample, within 1e-4 of the largest."""
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()
