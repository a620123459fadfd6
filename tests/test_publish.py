"""scripts/publish.py: a checkpoint to be given away, or one line why not."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from model import ConvTasNet, load_model
from network.checkpoint import write_checkpoint
from network.options import NetworkOptions
from scripts import publish

ROOT = Path(__file__).resolve().parent.parent


def test_a_run_becomes_a_network_in_half_the_bytes(device, tmp_path, capsys):
    net = ConvTasNet(NetworkOptions(N=32, L=8, B=32, H=64, X=2, R=1), 8000)
    source, target = tmp_path / "run.ckpt", tmp_path / "small.ckpt"
    write_checkpoint(source, net, {"history": []}, [("optimizer.moment", net.decoder.weight)])
    publish.main([str(source), str(target)])
    assert target.stat().st_size < 0.6 * source.stat().st_size
    line = f"{target}: the network of {source} in float16, {target.stat().st_size / 1e6:.2f} MB\n"
    assert capsys.readouterr().out == line
    published = load_model(target)
    assert published.options == net.options
    for (name, found), (_, expected) in zip(published.parameters_and_names(), net.parameters_and_names(), strict=True):
        np.testing.assert_allclose(found.asnumpy(), expected.asnumpy(), rtol=2**-11, atol=1e-7, err_msg=name)


def test_bad_name_is_refused(device, tmp_path):
    write_checkpoint(tmp_path / "run.ckpt", ConvTasNet(NetworkOptions(N=4, L=8, B=4, H=4, X=1, R=1), 8000))
    with pytest.raises(UserError, match=r"small\.pth: MindSpore reads only checkpoints named \.ckpt"):
        publish.main([str(tmp_path / "run.ckpt"), str(tmp_path / "small.pth")])
    assert [file.name for file in tmp_path.iterdir()] == ["run.ckpt"]


def test_command_line_says_one_line(tmp_path):
    command = [sys.executable, "-m", "scripts.publish", str(tmp_path / "no.ckpt"), str(tmp_path / "small.ckpt")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    errors = [line for line in done.stderr.splitlines() if not line.startswith("[WARNING]")]
    assert (done.returncode, errors) == (2, [f"error: {tmp_path}/no.ckpt: no such checkpoint"])
