"""What names tell about who speaks, and whether MindRecord takes a path.

LibriMix names a mixture by its utterances, 103-1240-0000_1926-143879-0000, and LibriSpeech an utterance by its speaker,
103, its chapter, and its number in that.
"""

import os
import re

from common.errors import UserError

UTTERANCE = r"(\d+)-\d+-\d+"  # the group is the speaker
UTTERANCE_FILE = re.compile(rf"{UTTERANCE}\.\w+")


def speaker_ids(name: str) -> list[str]:
    """The speakers, as LibriSpeech numbers them, of those utterances in a mixture's name that LibriSpeech has named."""
    utterances = (re.fullmatch(UTTERANCE, part) for part in name.split("_"))
    return [match[1] for match in utterances if match]


def speaker_of(path: str | os.PathLike) -> str | None:
    """The speaker of an utterance's file, such as 103-1240-0000.flac; None if LibriSpeech has not named it."""
    match = UTTERANCE_FILE.fullmatch(os.path.basename(path))
    return match and match[1]


def require_utf8(path: str) -> None:
    """Raise UserError for a path that is not UTF-8, as MindRecord's must be."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise UserError(f"{path}: MindRecord takes only paths that are UTF-8; rename it, or choose another") from None
