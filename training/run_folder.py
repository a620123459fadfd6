"""The folder of a training run: one run at a time, what it may go on with, and which checkpoints stay.

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

import fcntl
import os
import re
import socket
from contextlib import contextmanager, suppress

import yaml

from common.errors import UserError
from common.files import whole_file
from config import NETWORK

# What says which examples a step has: it cannot change in the middle of an epoch.
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
# What may be another at each start of the same run without a word.
UNCOUNTED_OPTIONS = ("config", "save_folder", "continue_from", "init_from")


@contextmanager
def locked(folder):
    """Make the folder and hold it, so that no second run writes into it.

    Raises UserError if it cannot be made or written to, or if another run holds it.
    """
    try:
        os.makedirs(folder, exist_ok=True)
        # The system lets go of the lock when the process ends, however it does.
        file = open(os.path.join(folder, ".lock"), "a+", encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        raise UserError(f"--save_folder {folder}: cannot be written to ({error.strerror}); choose another") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UserError(
                f"--save_folder {folder}: another run writes there, {file.read().strip()}; wait for its end, or choose"
                " another folder"
            ) from None
        except OSError as error:
            raise UserError(
                f"--save_folder {folder}: cannot be locked ({error.strerror}); choose a folder on another disk"
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield


def write_config(folder, options):
    """Write the effective options, a dict, to config.yaml, which train.py --config takes."""
    stated = {name: value for name, value in options.items() if name not in UNCOUNTED_OPTIONS}
    with whole_file(os.path.join(folder, "config.yaml")) as partial, open(partial, "w", encoding="utf-8") as file:
        yaml.safe_dump(stated, file, sort_keys=False)


def changes(path, then, now, in_epoch):
    """What is not as it was when a run stopped: a list of lines.

    Args:
        path: of the checkpoint, for the message.
        then, now: options, dicts.
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


def epoch_file(epoch):
    """Name of the checkpoint of an epoch, counted from 1."""
    return f"epoch_{epoch:04d}.ckpt"


def best_epochs(valid_losses, number):
    """The epochs, from 1, of the lowest losses: at most `number`, the best first."""
    return [1 + epoch for epoch in sorted(range(len(valid_losses)), key=valid_losses.__getitem__)[:number]]


def drop_old(folder, valid_losses, latest, best):
    """Remove the checkpoints of epochs, except those of the `latest` and of the `best` ones, both numbers."""
    epochs = len(valid_losses)
    kept = {*range(epochs - latest + 1, epochs + 1), *best_epochs(valid_losses, best)}
    for file in os.listdir(folder):
        match = re.fullmatch(r"epoch_(\d{4,})\.ckpt", file)
        if match and int(match[1]) <= epochs and int(match[1]) not in kept:
            with suppress(OSError):
                os.remove(os.path.join(folder, file))
