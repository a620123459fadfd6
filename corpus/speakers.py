"""Of which sex the speakers of a mixture are, by LibriSpeech's SPEAKERS.TXT.

A line of that is `19   | F | train-clean-100  | 25.19 | name`; comments begin with a semicolon.
"""

import os
import re

from common.errors import UserError
from corpus.index import Index


def sexes_of(index: Index, speakers_file: str | os.PathLike | None = None) -> list[str | None]:
    """The sexes of the speakers that are heard in each mixture, as sorted letters such as "FM".

    Args:
        index: corpus.index.Index.
        speakers_file: SPEAKERS.TXT; None: that of the LibriSpeech folder that the index mixes from, if there is one.

    Returns a list; None for mixtures whose speakers are not known, all of them where there is no file. Raises
    UserError if a file is malformed, or if it was given for a test set that it says nothing about.
    """
    given = speakers_file is not None
    if not given and index.librispeech_dir:
        beside = os.path.join(index.librispeech_dir, "SPEAKERS.TXT")
        speakers_file = beside if os.path.isfile(beside) else None
    if speakers_file is None:
        return [None] * len(index)
    sex = read_sexes(speakers_file)
    found = []
    for number in range(len(index)):
        heard = index.heard(number)
        found.append("".join(sorted(sex[speaker] for speaker in heard)) if heard and sex.keys() >= set(heard) else None)
    if given and not any(found):
        raise UserError(
            f"--speakers_file {speakers_file}: names no speakers of {index.path}, whose mixtures are called as"
            f" {index.names[0]}; leave it out, or give that of their corpus"
        )
    return found


def read_sexes(path: str | os.PathLike) -> dict[str, str]:
    """{speaker: F or M} of a SPEAKERS.TXT. Raises UserError if it cannot be read or has no such lines."""
    try:
        with open(path, encoding="utf-8") as stream:
            lines = list(stream)
    except (OSError, UnicodeError) as error:
        raise UserError(
            f"{path}: cannot be read ({error}); give LibriSpeech's SPEAKERS.TXT as --speakers_file"
        ) from None
    sexes = dict(match.groups() for line in lines if (match := re.match(r"(\d+) *\| *([FM]) *\|", line)))
    if not sexes:
        raise UserError(
            f"{path}: has no line such as '14 | F | ...'; give LibriSpeech's SPEAKERS.TXT as --speakers_file"
        )
    return sexes
