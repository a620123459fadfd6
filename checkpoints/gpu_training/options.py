"""The options of a training, whose defaults are what the shipped networks were trained with."""

import argparse
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from common.errors import UserError

Group = TypeVar("Group", bound="Network | Situations | Training")

RATE = 8000  # Hz; noises and the telephone band are made for it
C = 2  # speakers of a mixture
P = 3  # taps of the depthwise convolution
POSITIVE = [*"NLBHXR", "segment", "speed_copies", "minutes", "batch_seconds", "lr", "validate_every"]


def _option(default: float | tuple[float, float], text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Network:
    """The paper's letters. A causal network has the norm cgLN, another gLN; neither has a skip path."""

    N: int = _option(256, "filters of the encoder and decoder")
    L: int = _option(16, "samples in a filter, twice the hop")
    B: int = _option(128, "channels of the bottleneck and of the residual path")
    H: int = _option(512, "channels inside a block; on a GPU a multiple of 64")
    X: int = _option(8, "blocks in a repeat, of dilations 1 to 2^(X-1)")
    R: int = _option(3, "repeats")
    causal: int = _option(0, "1: no frame hears those after it")

    @property
    def norm_type(self) -> str:
        return "cgLN" if self.causal else "gLN"


@dataclass(frozen=True)
class Situations:
    """What the mixtures are like, that a network learns from."""

    segment: float = _option(4.0, "seconds of a mixture, about: whole frames, in multiples of 64")
    speed_change: float = _option(8.0, "percent that voices are at most faster or slower")
    speed_copies: int = _option(9, "speeds that there are within that, evenly apart; odd")
    pause_share: float = _option(0.3, "of voices that pause, begin late or end early")
    turn_share: float = _option(0.15, "of mixtures whose speakers take turns and overlap a bit")
    alone_share: float = _option(0.05, "of mixtures in which one speaks")
    uneven_share: float = _option(0.3, "of mixtures whose voices are 4 to 10 dB apart")
    equalised_share: float = _option(0.5, "of voices through another microphone")
    telephone_share: float = _option(0.06, "of mixtures in telephone band")
    reverb_share: float = _option(0.2, "of mixtures in a room, which stays in the sources")
    reverb_seconds: tuple[float, float] = _option((0.1, 0.6), "RT60 of the room, least and most")
    noise_share: float = _option(0.5, "of mixtures with noise")
    noise_snr: tuple[float, float] = _option((-2.0, 16.0), "dB of the voices over the noise, least and most")


@dataclass(frozen=True)
class Training:
    """How it is learned from them."""

    minutes: float = _option(5.65, "the run ends before so many have passed since its start")
    batch_seconds: float = _option(128.0, "seconds of mixtures in a step, about")
    seed: int = _option(0, "of weights and mixtures")
    lr: float = _option(1e-3, "highest learning rate")
    last_lr: float = _option(1e-5, "learning rate at the end")
    warmup: float = _option(0.02, "share of the time in which the learning rate rises")
    weight_decay: float = _option(0.01, "of AdamW, of matrices")
    max_norm: float = _option(5.0, "largest norm of the whole gradient")
    ema: float = _option(0.999, "what the moving average of the weights keeps of itself at a step")
    quiet: float = _option(0.2, "what a dB of silence of an output counts in the loss, where its speaker is silent")
    loss_floor: float = _option(-30.0, "dB; a mixture whose loss is lower teaches nothing")
    validate_every: float = _option(75.0, "seconds")


def parse(description: str, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The options on a command line: `data`, `out`, and those of the three groups above, which `group` takes out.

    Raises UserError for values that make no sense.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="file of pack.py")
    parser.add_argument("--out", required=True, help="folder for weights and logs; made if missing")
    for options in (Network, Situations, Training):
        section = parser.add_argument_group(options.__name__.lower())
        for each in dataclasses.fields(options):
            pair = isinstance(each.default, tuple)
            how = {"type": type(each.default[0]), "nargs": 2} if pair else {"type": type(each.default)}
            text = f"{each.metadata['help']} (default: {each.default})"
            section.add_argument(f"--{each.name}", default=each.default, help=text, **how)
    args = parser.parse_args(argv)
    _check(args)
    return args


def group(options: type[Group], args: argparse.Namespace) -> Group:
    """Those of the options in `args` that are of this group."""
    return options(**{each.name: getattr(args, each.name) for each in dataclasses.fields(options)})


def _check(args: argparse.Namespace) -> None:
    for name in POSITIVE:
        if not getattr(args, name) > 0:
            raise UserError(f"--{name} {getattr(args, name)}: must be above 0")
    if args.L % 2:
        raise UserError(f"--L {args.L}: must be even, for filters overlap by half")
    if args.causal not in (0, 1):
        raise UserError(f"--causal {args.causal}: must be 0 or 1")
    if not 0 <= args.speed_change <= 50 or args.speed_copies % 2 == 0:
        raise UserError(
            f"--speed_change {args.speed_change} --speed_copies {args.speed_copies}: must be 0 to 50 percent, and an"
            " odd number of speeds, so that one of them is that of the file"
        )
    if not 0 < min(args.reverb_seconds) <= max(args.reverb_seconds):
        raise UserError(f"--reverb_seconds {args.reverb_seconds}: must be above 0")
    for name, value in vars(args).items():
        if name.endswith("_share") and not 0 <= value <= 1:
            raise UserError(f"--{name} {value}: must be 0 to 1")
