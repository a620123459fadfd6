"""corpus/mixture_checks.py: a mixtures.json that says what cannot be is refused, by the row and the value."""

import json
import math

import pytest
from small_corpus import make_index

from common.errors import UserError
from corpus.loading import load_index


def put(*where, value):
    """A change that sets an item of mixtures.json; `where` leads to it."""

    def change(content):
        for step in where[:-1]:
            content = content[step]
        content[where[-1]] = value

    return change


def again(number, content):
    content["mixtures"].append(content["mixtures"][number])


FAULTS = {
    "row -1": (put("mixtures", 1, 1, 0, 0, value=-1), "mixture 1, c_a, has the speech row -1, not one of 0 to 2"),
    "row 1.5": (put("mixtures", 0, 1, 1, 0, value=1.5), "mixture 0, a_b, has the speech row 1.5, not one of 0 to 2"),
    "row 3": (put("mixtures", 0, 1, 1, 0, value=3), "mixture 0, a_b, has the speech row 3, not"),
    "row 1e30": (put("mixtures", 0, 1, 1, 0, value=1e30), "has the speech row 1e\\+30, not"),
    "row Infinity": (put("mixtures", 0, 1, 1, 0, value=math.inf), "has the speech row inf, not"),
    "row NaN": (put("mixtures", 0, 1, 1, 0, value=math.nan), "has the speech row nan, not"),
    "row text": (put("mixtures", 0, 1, 1, 0, value="1"), r"mixture 0, a_b, has speech .*'1'.*, not \[row, gain\]"),
    "row null": (put("mixtures", 1, 1, 1, 0, value=None), r"mixture 1, c_a, has speech .*None.*, not \[row, gain\]"),
    "row true": (put("mixtures", 1, 1, 1, 0, value=True), r"mixture 1, c_a, has speech .*True.*, not \[row, gain\]"),
    "gain true": (put("mixtures", 1, 1, 1, 1, value=True), r"mixture 1, c_a, has speech .*True.*, not \[row, gain\]"),
    "row huge": (put("mixtures", 1, 1, 1, 0, value=10**30), r"mixture 1, c_a, has speech .*10000.*, not \[row, gain\]"),
    "no speaker": (put("mixtures", 1, 1, value=[]), r"mixture 1, c_a, has speech \[\], not"),
    "gain NaN": (put("mixtures", 1, 1, 1, 1, value=math.nan), "mixture 1, c_a, has the speech gain nan, not 1e-05 to"),
    "gain Infinity": (put("mixtures", 1, 1, 1, 1, value=math.inf), "has the speech gain inf, not"),
    "gain negative": (put("mixtures", 1, 1, 1, 1, value=-0.6), "mixture 1, c_a, has the speech gain -0.6, not"),
    "gain 0": (put("mixtures", 1, 1, 1, 1, value=0), "has the speech gain 0, not"),
    "gain 1e38": (put("mixtures", 1, 1, 1, 1, value=1e38), "has the speech gain 1e\\+38, not"),
    "noise row": (put("mixtures", 1, 2, 0, value=-1), "mixture 1, c_a, has the noise row -1, not one of 0 to 1"),
    "noise gain": (put("mixtures", 0, 2, 1, value=math.nan), "mixture 0, a_b, has the noise gain nan, not"),
    "no noise": (put("mixtures", 1, 2, value=None), "mixture 1, c_a, has noise .*None"),
    "speaker twice": (put("mixtures", 0, 1, 1, 0, value=0), "mixture 0, a_b, has one speaker twice: dev-clean/a.flac"),
    "file twice": (lambda c: c["speech"][1].__setitem__(0, c["speech"][0][0]), "mixture 0, a_b, has one speaker twice"),
    "other spelling": (
        lambda c: c["speech"][1].__setitem__(0, f"./{c['speech'][0][0]}"), "mixture 0, a_b, has one speaker twice"),
    "mixture twice": (lambda c: again(0, c), "mixture 2 has the name of an earlier one, a_b"),
    "name null": (put("mixtures", 1, 0, value=None), "mixture 1 has the name 'None', not a text"),
    "samples 1.5": (put("speech", 1, 1, value=1.5), "row 1 of speech is .*1.5"),
    "samples -1": (put("speech", 2, 1, value=-1), "row 2 of speech is .*-1"),
    "samples text": (put("speech", 2, 1, value="35557"), "row 2 of speech is .*'35557'"),
    "samples 1e14": (put("speech", 2, 1, value=10**14), "row 2 of speech is .*100000000000000"),
    "samples 1e30": (put("speech", 2, 1, value=10**30), "row 2 of speech is .*1000000000000000"),
    "samples true": (put("speech", 2, 1, value=True), "row 2 of speech is .*True"),
    "path null": (put("speech", 2, 0, value=None), r"row 2 of speech is \[None"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_is_named(corpus, tmp_path, fault):
    folder = make_index(corpus, tmp_path / "out", task="sep_noisy") / "cv"
    file = folder / "mixtures.json"
    content = json.loads(file.read_text())
    change, message = FAULTS[fault]
    change(content)
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=message) as error:
        load_index(folder, 8000)
    assert str(error.value).startswith(f"{file}: ") and "\n" not in str(error.value)


def test_a_value_that_is_there_twice(corpus, tmp_path):
    """JSON's reader takes the last of them, here another mode."""
    folder = make_index(corpus, tmp_path / "out") / "cv"
    file = folder / "mixtures.json"
    file.write_text(file.read_text()[:-1] + ', "mode": "max"}')
    with pytest.raises(UserError, match=r"mixtures.json: cannot be read as JSON \(it has mode twice\)"):
        load_index(folder, 8000)


def test_utterances_of_one_speaker_in_a_mixture(corpus, tmp_path):
    """LibriSpeech's names tell it, of an index that is opened and of a table that is read."""
    folder = make_index(corpus, tmp_path / "out") / "cv"
    file = folder / "mixtures.json"
    content = json.loads(file.read_text())
    for row, name in enumerate(("19-1-0000.flac", "19-2-0003.flac")):
        (corpus / "LibriSpeech" / content["speech"][row][0]).rename(corpus / "LibriSpeech" / name)
        content["speech"][row][0] = name
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"mixture 0, a_b, has one speaker twice: 19-1-0000.flac, 19-2-0003.flac"):
        load_index(folder, 8000)
    table = corpus / "md" / "libri2mix_dev-clean.csv"
    table.write_text(
        table.read_text().replace("dev-clean/c.flac", "19-3-0001.flac").replace("dev-clean/a", "19-1-0000")
    )
    with pytest.raises(UserError, match=r"line 3: has one speaker twice, 19-3-0001.flac, 19-1-0000.flac"):
        make_index(corpus, tmp_path / "again")
