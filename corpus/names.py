"""What names tell about who speaks.

LibriMix names a mixture by its utterances, 103-1240-0000_1926-143879-0000, and LibriSpeech an utterance by its speaker,
103, its chapter, and its number in that.
"""

import re

UTTERANCE = r"(\d+)-\d+-\d+"  # the group is the speaker


def speaker_ids(name: str) -> list[str]:
    """The speakers, as LibriSpeech numbers them, of those utterances in a mixture's name that LibriSpeech has named."""
    utterances = (re.fullmatch(UTTERANCE, part) for part in name.split("_"))
    return [match[1] for match in utterances if match]
