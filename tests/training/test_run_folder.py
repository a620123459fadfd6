"""training/run_folder.py: the lock, changed options, and the configuration."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from common.command_line import parse
from common.errors import UserError
from training.run_folder import changes, locked, write_config

ROOT = Path(__file__).resolve().parents[2]
THEN = {
    "N": 512,
    "sample_rate": 8000,
    "optimizer": "adam",
    "lr": 1e-3,
    "batch_size": 4,
    "ranks": 1,
    "accumulate": 1,
    "segment": 4.0,
    "shuffle": 1,
    "seed": 0,
    "train_set": [10, 1000],
    "train_dir": "a",
    "save_folder": "exp",
    "continue_from": None,
}


def hold_in_another_process(folder, then="pass"):
    """Hold the folder in another process, which then runs a statement; returns what it left."""
    code = f"import os, signal, sys\nfrom training.run_folder import locked\nwith locked(sys.argv[1]): {then}"
    return subprocess.run([sys.executable, "-c", code, folder], cwd=ROOT, capture_output=True, text=True)


def test_a_second_run_is_refused_and_names_the_first(tmp_path):
    first = f"process {os.getpid()} on {socket.gethostname()}"
    with locked(tmp_path):
        for _ in range(2):  # the first refusal leaves the holder's name
            refused = hold_in_another_process(tmp_path)
            assert refused.returncode == 1
            assert f"another run writes there, {first}; wait for its end" in refused.stderr.splitlines()[-1]
        with pytest.raises(UserError, match=f"another run writes there, {first}; "), locked(tmp_path):
            pass
    assert hold_in_another_process(tmp_path).returncode == 0
    with locked(tmp_path):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    assert hold_in_another_process(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)").returncode == -signal.SIGKILL
    with locked(tmp_path):
        pass


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/exp: cannot be written to"), locked(tmp_path / "file" / "exp"):
        pass


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, a disk without room")
@pytest.mark.parametrize("is_new", [True, False])
def test_a_full_disk_is_one_line(tmp_path, monkeypatch, is_new):
    if not is_new:
        (tmp_path / ".lock").touch()

    def open_on_full_disk(path, mode="r", **options):
        return open("/dev/full" if mode == "w" else path, mode, **options)

    monkeypatch.setattr("training.run_folder.open", open_on_full_disk, raising=False)
    with pytest.raises(UserError, match=r"^--save_folder .* \(No space left on device\); make room"), locked(tmp_path):
        pass
    monkeypatch.undo()
    with locked(tmp_path):  # nobody holds it
        pass


def test_changes_are_reported_line_by_line():
    now = THEN | {"lr": 5e-4, "train_dir": "b", "save_folder": "other", "continue_from": "exp/last.ckpt"}
    assert changes("exp/last.ckpt", THEN, now, in_epoch=True) == [
        "changed since last.ckpt: lr 0.001 -> 0.0005",
        "changed since last.ckpt: train_dir a -> b",
    ]
    assert changes("exp/last.ckpt", THEN, dict(THEN), in_epoch=True) == []


@pytest.mark.parametrize("change", [{"N": 256}, {"sample_rate": 16000}, {"optimizer": "sgd"}])
def test_what_a_run_cannot_go_on_with(change):
    for in_epoch in (False, True):
        with pytest.raises(UserError, match=str(next(iter(change.values())))):
            changes("last.ckpt", THEN, THEN | change, in_epoch)


@pytest.mark.parametrize(
    "change",
    [
        {"batch_size": 8},
        {"ranks": 2},
        {"accumulate": 2},
        {"segment": 3.0},
        {"shuffle": 0},
        {"seed": 1},
        {"train_set": [11, 1100]},
    ],
)
def test_what_cannot_change_in_the_middle_of_an_epoch(change):
    assert len(changes("last.ckpt", THEN, THEN | change, in_epoch=False)) == 1
    with pytest.raises(UserError, match="in the middle of an epoch"):
        changes("last.ckpt", THEN, THEN | change, in_epoch=True)


def test_twice_the_devices_with_half_the_batch_go_on_in_the_middle_of_an_epoch():
    assert len(changes("last.ckpt", THEN, THEN | {"batch_size": 2, "ranks": 2}, in_epoch=True)) == 2


def test_the_saved_configuration_gives_the_same_options(tmp_path):
    groups = ("training_data", "data", "network", "training", "device")
    folders = ["--train_dir", "tr", "--valid_dir", "cv", "--save_folder", str(tmp_path)]
    args = parse("", *groups, argv=[*folders, "--lr", "1e-5", "--norm_type", "cLN", "--ema", "0.99", "--N", "64"])
    write_config(tmp_path, vars(args))
    config = str(tmp_path / "config.yaml")
    again = parse("", *groups, argv=["--config", config, "--save_folder", str(tmp_path)])
    assert vars(again) == vars(args) | {"config": config}


def test_a_lock_that_is_a_pipe_is_refused(tmp_path):
    """Opening it would wait for ever for a reader."""
    os.mkfifo(tmp_path / ".lock")
    with pytest.raises(UserError, match=r"\.lock: a symbolic link or a pipe"), locked(str(tmp_path)):
        pass


def test_a_lock_that_is_a_link_leaves_alone_what_it_points_to(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "mine.txt")
    with pytest.raises(UserError, match=r"\.lock: a symbolic link"), locked(str(tmp_path / "run")):
        pass
    assert (tmp_path / "mine.txt").read_text() == "precious"
