"""corpus/speakers.py: who is heard in the mixtures of every task, and what a faulty SPEAKERS.TXT says."""

import pytest
from small_corpus import make_index, write_metadata

from common.errors import UserError
from corpus.index import Index
from corpus.loading import load_index
from corpus.names import speaker_ids
from corpus.speakers import read_sexes, sexes_of

SPEAKERS = """\
;ID  |SEX| SUBSET
1    | F | dev-clean | 8.0 | A | B
22   | M | dev-clean | 8.1 | C
333  |M| dev-clean | 8 | D
"""
NAMES = {"a": "1-10-0001", "b": "22-10-0002", "c": "333-10-0003"}


@pytest.fixture
def named(corpus):
    """The corpus, with LibriSpeech's names and SPEAKERS.TXT."""
    for letter, name in NAMES.items():
        (corpus / "LibriSpeech/dev-clean" / f"{letter}.flac").rename(corpus / "LibriSpeech/dev-clean" / f"{name}.flac")
    rows = [("b", "a", "short.wav"), ("c", "b", "stereo.wav")]
    mixtures = [
        (f"{NAMES[one]}_{NAMES[two]}", [(f"dev-clean/{NAMES[each]}.flac", 0.5) for each in (one, two)], (noise, 0.5))
        for one, two, noise in rows
    ]
    write_metadata(corpus / "md" / "libri2mix_dev-clean.csv", mixtures)
    (corpus / "LibriSpeech" / "SPEAKERS.TXT").write_text(SPEAKERS)
    return corpus


@pytest.mark.parametrize(
    ("task", "expected"),
    [("sep_clean", ["FM", "MM"]), ("sep_noisy", ["FM", "MM"]), ("enh_both", ["FM", "MM"]), ("enh_single", ["M", "M"])],
)
def test_sexes_of_mixtures_that_are_mixed_from_librispeech(named, task, expected):
    folder = make_index(named, named / "index", task=task) / "cv"
    assert sexes_of(load_index(str(folder), 8000)) == expected
    (named / "LibriSpeech" / "SPEAKERS.TXT").write_text(SPEAKERS.replace("333 ", "334 "))
    assert sexes_of(load_index(str(folder), 8000)) == [expected[0], None]
    (named / "LibriSpeech" / "SPEAKERS.TXT").unlink()
    assert sexes_of(load_index(str(folder), 8000)) == [None, None]


def test_file_is_given_for_mixtures_of_files(named):
    folder = make_index(named, named / "index", "--generate", named / "tree") / "cv"
    tree = load_index(str(folder), 8000)
    assert sexes_of(tree) == [None, None]
    assert sexes_of(tree, named / "LibriSpeech" / "SPEAKERS.TXT") == ["FM", "MM"]


class NamedIndex(Index):
    """An index that tells no more than names and how many sources there are."""

    def __init__(self, sources, *names):
        self.sources, self.names, self.path = sources, names, "index/tt"


@pytest.fixture
def speakers_file(tmp_path):
    path = tmp_path / "SPEAKERS.TXT"
    path.write_text(SPEAKERS)
    return path


def test_only_names_that_tell_all_who_are_heard_count(speakers_file):
    assert speaker_ids("1-2-3_22-5-0006_voice_7") == ["1", "22"]
    # Of one source, both may be heard (enh_both) or the first alone (enh_single): nothing tells.
    assert sexes_of(NamedIndex(1, "1-2-3_22-5-6", "1-2-3"), speakers_file) == [None, "F"]
    names = ["22-2-3_22-5-6_1-1-1", "22-2-3_voice_1-1-1", "22-2-3_22-5-6_4-1-1"]
    assert sexes_of(NamedIndex(3, *names), speakers_file) == ["FMM", None, None]


def test_file_of_other_speakers_is_an_error(speakers_file):
    with pytest.raises(UserError, match=r"SPEAKERS.TXT: names no speakers of index/tt, whose mixtures .* 5-1-1_6-1-1"):
        sexes_of(NamedIndex(2, "5-1-1_6-1-1"), speakers_file)


def test_file_that_is_none_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"nowhere: cannot be read .* as --speakers_file"):
        read_sexes(tmp_path / "nowhere")
    (tmp_path / "latin").write_bytes(b"1 | F | Andr\xe9")
    with pytest.raises(UserError, match="latin: cannot be read"):
        read_sexes(tmp_path / "latin")
    (tmp_path / "other").write_text("speaker,sex\n1,F\n")
    with pytest.raises(UserError, match="other: has no line such as"):
        read_sexes(tmp_path / "other")
