"""evaluate.py on a CPU: what it does without, so that it starts at once; and what it refuses before it begins."""

import csv
import os
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT
from known_networks import RATE, write_set

import evaluate as script
from common.errors import UserError
from corpus.loading import load_index
from evaluation.evaluator import evaluate
from evaluation.metrics import measure
from model import ConvTasNet
from network.checkpoint import write_checkpoint
from network.in_numpy import load_in_numpy
from network.options import NetworkOptions


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "tiny.ckpt"
    write_checkpoint(path, ConvTasNet(NetworkOptions(N=16, L=8, B=8, H=8, X=2, R=1, C=2), RATE))
    return path


def test_on_a_cpu_it_needs_neither_mindspore_nor_a_compiler_and_leaves_pytorch_alone(tmp_path, checkpoint):
    write_set(tmp_path / "index", speakers=2)
    for name in ("mindspore", "torch"):
        (tmp_path / f"{name}.py").write_text(f"raise RuntimeError('{name} was imported')\n")
    (tmp_path / "bin").mkdir()
    for name in ("cat", "sh", "uname"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    options = ["--model_path", checkpoint, "--data_dir", tmp_path / "index", "--out_dir", tmp_path / "results"]
    done = subprocess.run(
        [sys.executable, ROOT / "evaluate.py", *options, "--device_target", "CPU"],
        env=os.environ | {"PYTHONPATH": str(tmp_path), "PATH": str(tmp_path / "bin")},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    with open(tmp_path / "results" / "results.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    index, net = load_index(str(tmp_path / "index"), RATE), load_in_numpy(checkpoint)
    for number, row in enumerate(rows):
        audio = index.read(number, 0, int(index.lengths[number]))
        expected = measure(audio[0], audio[1:], net(audio[0]), RATE, ("si_snr", "sdr"))
        assert row["name"] == index.names[number]
        assert row["si_snr_improvement"] == f"{expected.means['si_snr'].improvement:.4f}"
        assert row["sdr_improvement"] == f"{expected.means['sdr'].improvement:.4f}"


def test_scores_are_to_the_last_digit_those_of_each_mixture_alone(tmp_path, checkpoint):
    write_set(tmp_path / "index", speakers=2, lengths=[16010, 20030, 3001, 70011])
    index, net = load_index(str(tmp_path / "index"), RATE), load_in_numpy(checkpoint)
    for number, found in enumerate(evaluate(net, index, num_workers=2)):
        audio = index.read(number, 0, int(index.lengths[number]))
        expected = measure(audio[0], audio[1:], net(audio[0]), RATE)
        assert (found.name, found.permutation) == (index.names[number], expected.permutation)
        assert found.means == expected.means


@pytest.mark.parametrize(
    ("option", "value"),
    [("--batch_size", "0"), ("--num_workers", "0"), ("--out_dir", "file"), ("--out_dir", "file/below")],
)
def test_bad_values_are_errors_before_any_work(tmp_path, monkeypatch, option, value):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=value if option == "--out_dir" else option):
        script.main(["--model_path", "none.ckpt", "--data_dir", "none", option, value])
