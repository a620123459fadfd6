"""What the training options ask for: whether they go together, the learning rate of a step, and when to stop.

The learning rate and the end depend on the options, the step and the validation losses so far alone, so that a run that
went on has what one that did not stop would have.
"""

import argparse
import math
from collections.abc import Sequence

from common.command_line import require_positive, require_rate
from common.errors import UserError
from config import TRAINING
from network.options import check_precision


def check_training(args: argparse.Namespace) -> None:
    """Raise UserError for training options that make no sense, alone or together."""
    require_rate(args)
    require_positive(args, "num_workers", "cv_maxlen", "batch_size", "epochs", "lr", "accumulate", "patience")
    require_positive(args, "max_bad_steps")
    least_zero = ("l2", "max_norm", "max_minutes", "seed", "warmup", "early_stop", "average_best", "save_every")
    for name in (*least_zero, "keep_checkpoint_max"):
        if not 0 <= getattr(args, name) < math.inf:
            raise UserError(f"--{name} {getattr(args, name)}: must be a number, 0 or more")
    for name in ("momentum", "ema"):
        if not 0 <= getattr(args, name) < 1:
            raise UserError(f"--{name} {getattr(args, name)}: must be at least 0 and below 1")
    check_dynamic_mixing(args)
    if args.continue_from and args.init_from:
        raise UserError(
            f"--continue_from {args.continue_from}, --init_from {args.init_from}: one goes on with a run, the other"
            " begins one; give one of them"
        )
    if args.momentum and args.optimizer != "sgd":
        raise UserError(
            f"--momentum {args.momentum}: {args.optimizer} has its own; take --optimizer sgd, or leave it out"
        )
    if args.schedule != "halve" and args.patience != TRAINING["patience"]["default"]:
        raise UserError(f"--patience {args.patience}: only --schedule halve uses it; add that, or leave it out")
    check_precision(args.amp_level, args.amp_type)
    if args.schedule == "halve" and 0 < args.early_stop <= args.patience:
        raise UserError(
            f"--early_stop {args.early_stop}: ends training before --patience {args.patience} can halve the learning"
            " rate; make it larger, or take --schedule constant"
        )


def check_dynamic_mixing(args: argparse.Namespace) -> None:
    """Raise UserError for options of training that do not go together with --dynamic_mixing, or need it."""
    if args.speed_change and not args.dynamic_mixing:
        raise UserError(f"--speed_change {args.speed_change}: only --dynamic_mixing uses it; add that")
    if not 0 <= args.speed_change <= 50:
        raise UserError(f"--speed_change {args.speed_change}: must be a percentage from 0 to 50")
    if args.dynamic_mixing and args.segment == -1:
        raise UserError("--segment -1: --dynamic_mixing draws crops; give their seconds")
    if args.dynamic_mixing and not args.shuffle:
        raise UserError("--shuffle 0: --dynamic_mixing draws at random; leave one of them out")


def learning_rate(args: argparse.Namespace, valid_losses: Sequence[float], step: int, steps_in_all: int) -> float:
    """The learning rate of a step.

    Args:
        args: options of the group "training".
        valid_losses: validation loss of each epoch so far.
        step: steps before this one, in all epochs.
        steps_in_all: steps that --epochs make.
    """
    rate = args.lr
    if args.schedule == "halve":
        rate *= 0.5 ** halvings(valid_losses, args.patience)
    elif args.schedule == "cosine":
        rate *= (1 + math.cos(math.pi * min(step / steps_in_all, 1))) / 2
    return rate * min(1, (step + 1) / (args.warmup + 1))


def halvings(valid_losses: Sequence[float], patience: int) -> int:
    """How often `patience` epochs in a row brought no improvement; each halving begins a new count."""
    number, best, waited = 0, math.inf, 0
    for loss in valid_losses:
        if loss < best:
            best, waited = loss, 0
        else:
            waited += 1
        if waited == patience:
            number, waited = number + 1, 0
    return number


def why_over(args: argparse.Namespace, valid_losses: Sequence[float]) -> str | None:
    """Why training is over after these epochs, or None."""
    if len(valid_losses) >= args.epochs:
        return f"{len(valid_losses)} epochs are done (--epochs {args.epochs})"
    if valid_losses and args.early_stop:
        waited = len(valid_losses) - 1 - valid_losses.index(min(valid_losses))
        if waited >= args.early_stop:
            return f"{waited} epochs without improvement (--early_stop {args.early_stop})"
    return None
