"""The folder of a training run: its files, its lock, and which options may change before the run goes on.

    last.ckpt          what the same command goes on from
    best.ckpt          of the lowest validation loss
    ema.ckpt           the moving average of the weights (--ema) where its validation loss was lowest
    average.ckpt       the mean of the weights of the best epochs (--average_best), once training is over
    epoch_0012.ckpt    of the latest epochs (--keep_checkpoint_max) and of those to average
    config.yaml        every option as it was in effect; train.py --config takes it
    history.jsonl      an epoch a line; curves.png draws it
    train.log          the same for reading

A checkpoint is written whole or not at all, so that each of them can be taken after a run was killed.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import yaml
from filelock import FileLock, Timeout

from common.errors import UserError
from common.files import whole_text
from config import NETWORK

# These decide which examples a step has, so they cannot change in the middle of an epoch.
EPOCH_OPTIONS = (
    "batch_size",
    "ranks",
    "accumulate",
    "segment",
    "shuffle",
    "seed",
    "train_set",
    "dynamic_mixing",
    "speed_change",
)
# These may differ at each start of the same run without being reported.
UNCOUNTED_OPTIONS = ("config", "save_folder", "continue_from", "init_from")


@contextmanager
def locked(folder: str) -> Iterator[None]:
    """Make the folder and hold it, so that no second run writes into it.

    Raises UserError if it cannot be made or written to, or if another run holds it.
    """
    path = os.path.join(folder, ".lock")
    try:
        os.makedirs(folder, exist_ok=True)
        if os.path.islink(path) or (os.path.exists(path) and not os.path.isfile(path)):
            raise UserError(f"{path}: a symbolic link or a pipe, which a run does not write through; remove it")
        open(path, "a").close()
    except OSError as error:
        raise UserError(f"--save_folder {folder}: cannot be written to ({error.strerror}); choose another") from None
    # The system lets go of it when the process ends, however it does; a "soft" lock's file would stay.
    lock = FileLock(path, blocking=False, fallback_to_soft=False)
    try:
        held = lock.acquire()
    except Timeout:
        with open(path, encoding="utf-8") as file:
            holder = file.read().strip()
        raise UserError(
            f"--save_folder {folder}: another run writes there, {holder}; wait for its end, or choose another folder"
        ) from None
    except OSError as error:
        raise UserError(
            f"--save_folder {folder}: cannot be locked ({error.strerror}); choose a folder on another disk"
        ) from None
    with held:
        try:
            with open(path, "w", encoding="utf-8") as file:
                file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        except OSError as error:
            raise UserError(
                f"--save_folder {folder}: cannot be written to ({error.strerror}); make room, or choose another"
            ) from None
        yield


def write_config(folder: str, options: dict) -> None:
    """Write the effective options to config.yaml, which train.py --config takes."""
    stated = {name: value for name, value in options.items() if name not in UNCOUNTED_OPTIONS}
    with whole_text(os.path.join(folder, "config.yaml")) as file:
        yaml.safe_dump(stated, file, sort_keys=False)


def changes(path: str, then: dict, now: dict, in_epoch: bool) -> list[str]:
    """What is not as it was when a run stopped, a line each.

    Args:
        path: of the checkpoint, for the message.
        then, now: options.
        in_epoch: whether the checkpoint was written in the middle of an epoch.

    Raises UserError for changes that would make nonsense.
    """
    changed = {
        name: (then.get(name), value)
        for name, value in now.items()
        if name not in UNCOUNTED_OPTIONS and then.get(name) != value
    }
    lines = [f"changed since {os.path.basename(path)}: {name} {old} -> {new}" for name, (old, new) in changed.items()]
    for name, (old, new) in changed.items():
        if name in NETWORK or name == "sample_rate":
            raise UserError(
                f"{path}: its network was made with --{name} {old}, not {new}; give the same options, or another"
                " --save_folder"
            )
        if name == "optimizer":
            raise UserError(f"{path}: holds the state of {old}, which {new} cannot go on from; give --optimizer {old}")
    if in_epoch:
        # Twice the devices with half the batch each are the same steps.
        shares = [options["batch_size"] * options["ranks"] for options in (then, now)]
        for name, (old, new) in changed.items():
            if name in EPOCH_OPTIONS and not (name in ("batch_size", "ranks") and shares[0] == shares[1]):
                raise UserError(
                    f"{path}: stopped in the middle of an epoch with {name} {old}; with {new} its other steps would be"
                    " others. Give the old value until the epoch is over, or go on from a checkpoint epoch_*.ckpt by"
                    " --continue_from in another --save_folder"
                )
    return lines
