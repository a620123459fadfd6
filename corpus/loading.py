"""Opens an index, whichever of its kinds a path leads to: a folder of JSON files, or MindRecord files."""

import os

from common.errors import UserError
from common.numbers import RATES, is_rate
from corpus.file_index import FolderIndex
from corpus.index import Index
from corpus.mixture_index import FILE, MixtureIndex


def load_index(path: str | os.PathLike, sample_rate: int) -> Index:
    """Open a folder of mix.json, s1.json, s2.json ... or mixtures.json, or a MindRecord file, of preprocess.py.

    Raises UserError, naming the file, if there is none, it is malformed, or it was made at another rate.
    """
    if not is_rate(sample_rate):
        raise UserError(f"the sample rate {sample_rate}: must be from {RATES[0]} to {RATES[1]}, in Hz")
    if os.path.isfile(os.path.join(path, FILE)):
        return MixtureIndex(path, sample_rate)
    if os.path.isdir(path):
        return FolderIndex(path, sample_rate)
    from corpus.mindrecord import RecordIndex  # imports MindSpore, which takes seconds

    return RecordIndex(path, sample_rate)
