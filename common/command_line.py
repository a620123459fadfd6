"""Reads the options of a script, which config.py describes, from the command line and a YAML file."""

import argparse
import math
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import yaml

from common.errors import UserError
from common.numbers import RATES, is_rate
from common.sequences import first_repeated
from common.wording import printable
from config import GROUPS, POSITIONAL


def parse(description: str, *groups: str, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line for the options of these groups; --help prints them with defaults and units.

    With the group "training", what the file of --config sets takes the place of the defaults.

    Args:
        description: what --help begins with, a script's docstring.
        groups: keys of config.GROUPS.
        argv: the command line; None takes that of this process.

    Raises UserError if the file cannot be read or sets no option rightly, and SystemExit, with a line on standard
    error, if the command line makes no sense.
    """
    argv = sys.argv[1:] if argv is None else argv
    stated = _stated_in_file(argv, groups) if "training" in groups else {}
    parser = Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for group in groups:
        section = parser.add_argument_group(group.replace("_", " "))
        for name, option in GROUPS[group].items():
            if name in stated:
                option = option | {"default": stated[name], "required": False}
            section.add_argument(*_flags(name), **_with_default_in_help(option))
    return parser.parse_args(argv)


class Parser(argparse.ArgumentParser):
    """ArgumentParser whose errors are one line, whatever they quote."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def _stated_in_file(argv: Sequence[str], groups: Sequence[str]) -> dict[str, Any]:
    """The options that the file of --config sets, in their types; those without a value keep their defaults."""
    first = argparse.ArgumentParser(add_help=False)
    first.add_argument("--config")
    path = first.parse_known_args(argv)[0].config
    if path is None:
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        stated, lines = yaml.safe_load(text), yaml.compose(text, yaml.SafeLoader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"--config {path}: cannot be read as YAML ({' '.join(str(error).split())})") from None
    if not isinstance(stated, dict):
        raise UserError(f"--config {path}: must be lines of an option and its value, such as lr: 0.001")
    names = [key.value.replace("-", "_") for key, _ in lines.value]  # of which `stated` has the last of each
    if (number := first_repeated(names)) is not None:
        raise UserError(f"--config {path}: sets {names[number]} twice; remove one of the lines")
    known = {name: option for group in groups for name, option in GROUPS[group].items() if name != "config"}
    stated = {str(name).replace("-", "_"): value for name, value in stated.items() if value is not None}
    for name, value in stated.items():
        if name not in known:
            raise UserError(f"--config {path}: {name} is no option; train.py --help lists them")
        try:
            stated[name] = known[name].get("type", str)(str(value))
        except ValueError:
            raise UserError(f"--config {path}: {name}: {value} must be a {known[name]['type'].__name__}") from None
        if stated[name] not in known[name].get("choices", [stated[name]]):
            raise UserError(f"--config {path}: {name}: {value}: choose from {known[name]['choices']}")
    return stated


def _flags(name: str) -> list[str]:
    if name in POSITIONAL:
        return [name]
    return list(dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"]))


def _with_default_in_help(option: dict[str, Any]) -> dict[str, Any]:
    if option.get("default") is None:
        return option
    return option | {"help": f"{option['help']} (default: {option['default']})"}


def require_positive(args: argparse.Namespace, *names: str) -> None:
    """Raise UserError unless each of these options is a finite number above 0."""
    for name in names:
        value = getattr(args, name)
        if not (math.isfinite(value) and value > 0):
            raise UserError(f"--{name} {value}: must be above 0")


def require_rate(args: argparse.Namespace) -> None:
    """Raise UserError unless --sample-rate can be the rate of audio."""
    if not is_rate(args.sample_rate):
        raise UserError(f"--sample_rate {args.sample_rate}: must be from {RATES[0]} to {RATES[1]}, in Hz")
