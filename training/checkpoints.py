"""The checkpoints of a run: the one that it goes on from, when each is written, and which stay."""

import argparse
import json
import os
import re
from collections.abc import Sequence
from contextlib import suppress

from common.errors import UserError
from network.checkpoint import average_weights, read_checkpoint, restore, write_checkpoint
from training.ranks import Ranks
from training.run_state import State
from training.validation import Validation
from training.warm_start import begin_with


class Checkpoints:
    """The checkpoints in the folder of a run; run_folder.py lists them.

    Args:
        args: options of the groups "training_data" and "training".
        state: what the run goes on from.
        ranks: the processes of the run, each of which calls the same methods.

    Attributes: `best_loss` and `best_average_loss`, the validation losses in dB of best.ckpt and ema.ckpt, infinite
    where there is none.
    """

    def __init__(self, args: argparse.Namespace, state: State, ranks: Ranks):
        self.args, self.state, self.ranks = args, state, ranks
        self.best_loss = self._loss_of("best.ckpt", "valid_loss")
        self.best_average_loss = self._loss_of("ema.ckpt", "ema_valid_loss")

    def _path(self, name: str) -> str:
        return os.path.join(self.args.save_folder, name)

    def _loss_of(self, name: str, key: str) -> float:
        path = self._path(name)
        if not os.path.exists(path):
            return float("inf")
        try:
            return float(read_checkpoint(path).progress["history"][-1][key])
        except (KeyError, IndexError, TypeError, ValueError):
            raise UserError(f"{path}: tells no validation loss, so no run wrote it here; move it away") from None

    def begin(self) -> list[str]:
        """Go on from where the folder's run, or that of --continue_from, stopped, or else begin with --init_from.

        Returns lines that say so. Raises UserError if these options cannot go on from it.
        """
        state, path = self.state, self._to_continue()
        if path:
            return state.go_on_from(path)
        if not self.args.init_from:
            return []
        lines = begin_with(self.args.init_from, state.net)
        if state.average is not None:
            state.average.begin_anew()
        return lines

    def _to_continue(self) -> str | None:
        """last.ckpt of the folder, or else --continue_from, or None.

        Raises UserError if the folder holds a run that did not begin from --continue_from or --init_from, as given, or
        checkpoints of one whose last.ckpt is gone.
        """
        args, last = self.args, self._path("last.ckpt")
        if not os.path.exists(last):
            self._require_no_others()
            return args.continue_from
        name = "continue_from" if args.continue_from else "init_from"  # never both: check_training
        given = getattr(args, name)
        if given and os.path.realpath(given) != os.path.realpath(last):
            began = read_checkpoint(last).progress.get("options", {})
            if began.get(name) != given:
                raise UserError(
                    f"--save_folder {args.save_folder}: holds a run already, which --{name} {given} would write over;"
                    " leave that out to go on, or choose another folder"
                )
        return last

    def _require_no_others(self) -> None:
        """Raise UserError if the folder, without a last.ckpt, has checkpoints that a run begun here would mix with.

        A kill at the end of a run's first epoch leaves some, before last.ckpt; the same run, begun again, makes the
        same ones. --continue_from in the folder itself goes on with what they are of.
        """
        args = self.args
        first = args.continue_from
        is_own = first and os.path.realpath(os.path.dirname(first)) == os.path.realpath(args.save_folder)
        if is_own or not os.path.isdir(args.save_folder):
            return
        epochs = 1 + (len(read_checkpoint(first).progress.get("history", [])) if first else 0)
        now = json.loads(json.dumps(_without_names(self.state.options)))  # as a checkpoint gives them back
        for name in sorted(os.listdir(args.save_folder)):
            if not re.fullmatch(r"(best|ema|average|epoch_\d{4,})\.ckpt", name):
                continue
            progress = read_checkpoint(self._path(name)).progress
            if _without_names(progress.get("options", {})) != now or len(progress["history"]) != epochs:
                raise UserError(
                    f"--save_folder {args.save_folder}: has no last.ckpt to go on from, but the {name} of another run,"
                    " which this one would mix with; choose another folder, or move its checkpoints away"
                )

    def save_within_epoch(self) -> None:
        """Write last.ckpt after every --save_every steps of an epoch."""
        if self.args.save_every and self.state.epoch.steps % self.args.save_every == 0:
            self._save("last.ckpt")

    def save_epoch(self) -> None:
        """Write the checkpoints of the epoch that the history ends with, and remove those that need not stay.

        last.ckpt comes last: a run that was killed before ends the epoch again.
        """
        args, state, epoch = self.args, self.state, self.state.history[-1]
        if args.keep_checkpoint_max or args.average_best:
            self._save(epoch_file(epoch["epoch"]))
        if epoch["valid_loss"] < self.best_loss:
            self.best_loss = epoch["valid_loss"]
            self._save("best.ckpt")
        if epoch.get("ema_valid_loss", float("inf")) < self.best_average_loss:
            self.best_average_loss = epoch["ema_valid_loss"]
            with state.average.in_place_of_weights():
                self._save("ema.ckpt")
        self._save("last.ckpt")
        if self.ranks.is_first:
            drop_old(args.save_folder, state.valid_losses, args.keep_checkpoint_max, args.average_best)

    def _save(self, name: str) -> None:
        self.ranks.share_running_averages(self.state.net)
        if self.ranks.is_first:
            self.state.write(self._path(name))

    def save_mean_of_best(self, validate: Validation) -> list[str]:
        """Write average.ckpt, the mean of the --average_best epochs' weights, which stays in the network.

        Returns a line with its validation loss, or none where there is nothing to average.
        """
        epochs = best_epochs(self.state.valid_losses, self.args.average_best)
        paths = [self._path(epoch_file(epoch)) for epoch in epochs]
        paths = [path for path in paths if os.path.exists(path)]  # those of --continue_from are in its folder
        if not paths:
            return []
        net = self.state.net
        restore(net.parameters_and_names(), average_weights(paths), paths[0])
        loss = validate()
        if self.ranks.is_first:
            write_checkpoint(self._path("average.ckpt"), net, {"valid_loss": loss})
        return [
            f"mean of the best {len(paths)} epochs: validation loss {loss:.2f} dB, SI-SNR improvement"
            f" {validate.improvement(loss):.2f} dB"
        ]


def _without_names(options: dict) -> dict:
    """Options without those that name where they come from and where the run is."""
    return {name: value for name, value in options.items() if name not in ("config", "save_folder")}


def epoch_file(epoch: int) -> str:
    """Name of the checkpoint of an epoch, counted from 1."""
    return f"epoch_{epoch:04d}.ckpt"


def best_epochs(valid_losses: Sequence[float], number: int) -> list[int]:
    """The epochs, from 1, of the lowest losses: at most `number`, the best first."""
    return [1 + epoch for epoch in sorted(range(len(valid_losses)), key=valid_losses.__getitem__)[:number]]


def drop_old(folder: str, valid_losses: Sequence[float], latest: int, best: int) -> None:
    """Remove the checkpoints of epochs, except those of the `latest` and of the `best` ones, both numbers."""
    epochs = len(valid_losses)
    kept = {*range(epochs - latest + 1, epochs + 1), *best_epochs(valid_losses, best)}
    for file in os.listdir(folder):
        match = re.fullmatch(r"epoch_(\d{4,})\.ckpt", file)
        if match and int(match[1]) <= epochs and int(match[1]) not in kept:
            with suppress(OSError):
                os.remove(os.path.join(folder, file))
