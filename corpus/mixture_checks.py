"""Holds what a mixtures.json says to what can be: an edited or damaged one must not mix something else without a word.

All mixtures are looked at together, as arrays; only what is wrong is looked for row by row, to name it.
"""

import os
from collections.abc import Sequence

import numpy as np

from common.errors import UserError
from common.sequences import first_repeated
from corpus.index import MOST_SAMPLES
from corpus.mixtures import GAINS
from corpus.names import speaker_of

WAY_OUT = "run preprocess.py again"


def samples_of(file: str, speech: Sequence[list]) -> np.ndarray:
    """The samples of every row [path, samples] of `speech`, int64. Raises UserError, naming the row, if it is none."""
    samples = np.array([samples if type(samples) is int else -1 for _, samples in speech])
    good = (samples > 0) & (samples <= MOST_SAMPLES) & [type(path) is str for path, _ in speech]
    if not good.all():
        row = int(np.argmin(good))
        raise UserError(
            f"{file}: row {row} of speech is {str(speech[row])[:200]}, not a path and its 1 to {MOST_SAMPLES} samples;"
            f" {WAY_OUT}"
        )
    return samples.astype(np.int64)


def require_names(file: str, names: Sequence[str]) -> None:
    """Raise UserError unless every mixture has a name of its own."""
    for number, name in enumerate(names):
        if not (isinstance(name, str) and name):
            raise UserError(f"{file}: mixture {number} has the name {str(name)[:80]!r}, not a text; {WAY_OUT}")
    if (number := first_repeated(names)) is not None:
        raise UserError(f"{file}: mixture {number} has the name of an earlier one, {names[number]}; {WAY_OUT}")


def rows_and_gains(
    file: str, names: Sequence[str], what: str, tracks: Sequence[list], there: int
) -> tuple[np.ndarray, np.ndarray]:
    """The rows and gains of the tracks of every mixture.

    Args:
        file, names: of the index and its mixtures, for the message.
        what: "speech" or "noise", of which there are so many rows, `there`.
        tracks: of each mixture, a list of [row, gain], as many for all.

    Returns int64 and float64 [mixtures, tracks]. Raises UserError, naming mixture and value, for what cannot be.
    """
    pairs = _pairs(tracks)
    if pairs is None:
        number = next(number for number, one in enumerate(tracks) if _pairs([tracks[0], one]) is None)
        found = f"{what} {str(tracks[number])[:200]}, not [row, gain] of each"
        raise UserError(f"{file}: mixture {number}, {names[number]}, has {found}; {WAY_OUT}")
    rows, gains = pairs[:, :, 0], pairs[:, :, 1]
    lowest, highest = GAINS
    _require(file, names, f"the {what} row", rows, (rows >= 0) & (rows < there) & (rows == np.floor(rows)),
             f"not one of 0 to {there - 1}")  # fmt: skip
    _require(file, names, f"the {what} gain", gains, (gains >= lowest) & (gains <= highest),
             f"not {lowest:g} to {highest:g}")  # fmt: skip
    return rows.astype(np.int64), gains


def _pairs(tracks: Sequence[list]) -> np.ndarray | None:
    """The pairs of numbers of every track, float64 [mixtures, tracks, 2]; None if they are something else."""
    try:
        pairs = np.array(tracks)
        if any(type(value) is bool for mixture in tracks for track in mixture for value in track):
            return None  # which numpy takes for 0 and 1
    except (TypeError, ValueError):  # of unequal lengths
        return None
    well_formed = pairs.dtype.kind in "if" and pairs.ndim == 3 and pairs.shape[1] > 0 and pairs.shape[2] == 2
    return pairs.astype(np.float64) if well_formed else None


def _require(file: str, names: Sequence[str], what: str, values: np.ndarray, good: np.ndarray, why: str) -> None:
    """Raise UserError, naming the first of the values [mixtures, tracks] that is not good."""
    if not good.all():
        number, track = np.argwhere(~good)[0]
        value = f"{values[number, track]:.12g}"
        raise UserError(f"{file}: mixture {number}, {names[number]}, has {what} {value}, {why}; {WAY_OUT}")


def require_speakers(file: str, names: Sequence[str], paths: Sequence[str], rows: np.ndarray) -> None:
    """Raise UserError if a speaker is twice in a mixture: by the names that LibriSpeech gives, or the same file.

    `rows`: of `paths`, int64 [mixtures, speakers].
    """
    numbers = {}
    speakers = np.array(
        [numbers.setdefault(speaker_of(path) or os.path.normpath(path), len(numbers)) for path in paths]
    )[rows]
    ordered = np.sort(speakers, axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
    if twice.any():
        number = int(np.argmax(twice))
        found = ", ".join(paths[row] for row in rows[number])
        raise UserError(f"{file}: mixture {number}, {names[number]}, has one speaker twice: {found}; {WAY_OUT}")
