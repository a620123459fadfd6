"""Who speaks in a mixture, by LibriMix's names, and of which sex they are, by LibriSpeech's SPEAKERS.TXT.

LibriMix names a mixture by its utterances, 103-1240-0000_1926-143879-0000, and LibriSpeech an utterance by its
speaker, 103, and chapter. A line of SPEAKERS.TXT is `19   | F | train-clean-100  | 25.19 | name`; comments begin with a
semicolon.
"""

import os
import re

from common.errors import UserError
from corpus.mixture_index import MixtureIndex

UTTERANCE = r"(\d+)-\d+-\d+"  # speaker, chapter and number, as LibriSpeech names its files


def speaker_ids(name):
    """The speakers, text, of those utterances in a mixture's name that LibriSpeech has named."""
    utterances = (re.fullmatch(UTTERANCE, part) for part in name.split("_"))
    return [match[1] for match in utterances if match]


def sexes_of(index, speakers_file=None):
    """The sexes of the speakers that are heard in each mixture, as sorted letters such as "FM".

    Args:
        index: of `data.load_index`.
        speakers_file: SPEAKERS.TXT; None: that of the LibriSpeech folder, where the index mixes from one that has it.

    Returns a list; None for mixtures whose speakers are not known, all of them where there is no file. Raises
    UserError if a file is malformed, or tells nothing about a test set that it was given for.
    """
    given = speakers_file is not None
    if not given and isinstance(index, MixtureIndex):
        beside = os.path.join(index.librispeech_dir, "SPEAKERS.TXT")
        speakers_file = beside if os.path.isfile(beside) else None
    if speakers_file is None:
        return [None] * len(index)
    sex = read_sexes(speakers_file)
    found = []
    for name in index.names:
        heard = _heard(index, speaker_ids(name))
        found.append("".join(sorted(sex[speaker] for speaker in heard)) if heard and sex.keys() >= set(heard) else None)
    if given and not any(found):
        raise UserError(
            f"--speakers_file {speakers_file}: names no speakers of {index.path}, whose mixtures are called as"
            f" {index.names[0]}; leave it out, or give that of their corpus"
        )
    return found


def read_sexes(path):
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


def _heard(index, named):
    """Those of the named speakers that are heard, or none if that is not known.

    A mixture of one source has one speaker (enh_single) or all that it is named by (enh_both); mixtures.json tells.
    """
    if isinstance(index, MixtureIndex):
        expected, heard = index.speakers, named[:1] if index.task == "enh_single" else named
    else:
        expected, heard = index.sources, named
    return heard if len(named) == expected else []
