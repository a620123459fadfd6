"""Holds the mixtures of a tree to the sums of their sources, so that files under each other's names are found."""

import os
from collections.abc import Sequence

import numpy as np

from common.audio import audio_info, decode
from common.errors import UserError
from common.parallel import map_in_threads
from corpus.bad_files import MOST_BAD, Part
from corpus.file_index import MixtureFiles

SAMPLE = 200  # mixtures of a set
STEP = 2.0**-15  # of 16 bits; a file may be rounded down, by a whole one


def require_sums(mixtures: Sequence[MixtureFiles], task: str, check: str, part: Part) -> list[MixtureFiles]:
    """Read mixtures of a set, and leave those out of `part` that are not the sums of their sources.

    Args:
        mixtures: of the set.
        task: see mixtures.py; where it has noise, a mixture without a file in the folder `noise` is not looked at.
        check: "all", "sample" for 200 of them, or "none".
        part: of the bad files.

    Returns the mixtures without those. Raises UserError if over one percent of those that were read are bad.
    """
    if check == "none":
        return list(mixtures)
    chosen = range(len(mixtures))
    if check == "sample" and len(mixtures) > SAMPLE:
        chosen = sorted(np.random.default_rng(0).choice(len(mixtures), SAMPLE, replace=False))
    summands = [_summands(mixtures[number], task) for number in chosen]
    pairs = [(mixtures[number].paths[0], files) for number, files in zip(chosen, summands, strict=True)]
    read = [(mixture, files) for mixture, files in pairs if all(map(os.path.isfile, files))]
    if len(read) < len(pairs):
        print(f"{len(pairs) - len(read)} mixtures have no file in a folder noise, so their sums are not checked")
    errors = map_in_threads(_error, read, "sums")
    bad = {mixture: error for (mixture, _), error in zip(read, errors, strict=True) if error}
    for error in bad.values():
        part.leave_out(error)
    if len(bad) > MOST_BAD * len(read):
        raise UserError(
            f"{len(bad)} of {len(read)} mixtures that were read are bad, more than {MOST_BAD:.0%}; the first:"
            f" {next(iter(bad.values()))}"
        )
    return [mixture for mixture in mixtures if mixture.paths[0] not in bad]


def _summands(mixture: MixtureFiles, task: str) -> list[str]:
    """The files that make a mixture: its sources and, where the task has it, the noise of its name."""
    folder, name = os.path.split(mixture.paths[0])
    noise = [] if task == "sep_clean" else [os.path.join(os.path.dirname(folder), "noise", name)]
    return [*mixture.paths[1:], *noise]


def _error(pair: tuple[str, Sequence[str]]) -> UserError | None:
    try:
        return require_sum(*pair)
    except UserError as error:
        return error


def require_sum(mixture: str, summands: Sequence[str]) -> None:
    """Raise UserError unless a file is the sum of others, but for rounding to 16 bits, and where one of them clips."""
    heard, *signals = (decode(path, 0, audio_info(path).frames) for path in (mixture, *summands))
    for path, signal in zip(summands, signals, strict=True):
        if len(signal) != len(heard):
            raise UserError(f"{path}: {len(signal)} samples, but its mixture {mixture} has {len(heard)}")
    difference = np.where(np.max(np.abs([heard, *signals]), axis=0) < 1 - STEP, heard - sum(signals), 0)
    if np.abs(difference).max() > (1 + len(signals)) * STEP:
        level = 10 * np.log10(np.sum(difference**2) / max(np.sum(heard**2), STEP**2))
        names = ", ".join(os.path.basename(os.path.dirname(path)) for path in summands)
        raise UserError(
            f"{mixture}: is not the sum of the files of its name in {names}: the difference is at {level:.1f} dB of"
            " it; does each have its own name? Of a corpus whose mixtures are no sums, --check none"
        )
