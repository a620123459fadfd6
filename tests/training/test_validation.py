"""training/validation.py: what fills a batch up, and what the loss leaves out."""

import json
from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest
import soundfile
from small_training import write_set

from common.errors import UserError
from corpus.bad_files import BadFiles
from corpus.loading import load_index
from training.ranks import Ranks
from training.validation import Validation, fill_up


def test_a_smaller_batch_is_filled_up_with_silence():
    batch = tuple(ms.Tensor(np.ones(shape, np.float32)) for shape in ((1, 5), (1,), (1, 2, 5)))
    mixture, lengths, sources = fill_up(batch, 3)
    assert (mixture.shape, lengths.shape, sources.shape) == ((3, 5), (3,), (3, 2, 5))
    np.testing.assert_array_equal(lengths.asnumpy(), [1, 0, 0])
    assert mixture.asnumpy()[1:].sum() == 0


class Leaky(ms.nn.Cell):
    """A stand-in for the network of two sources: what it estimates is the mixture and its square."""

    options = SimpleNamespace(C=2)

    def construct(self, mixture, lengths):
        return ms.ops.stack([mixture, mixture * mixture], 1)


def validation(folder):
    index = load_index(str(folder), 8000)
    args = SimpleNamespace(batch_size=2, num_workers=1, cv_maxlen=None)
    return Validation(Leaky(), index, args, Ranks(), BadFiles("stop", str(folder / "bad_files.txt")))


def test_silent_mixtures_and_sources_are_left_out(tmp_path, pynative):
    """The loss is that of the others, as if the silent ones were not in the set."""
    write_set(tmp_path)
    for name, kind in (("utterance1", "s2"), ("utterance3", "mix")):
        path = tmp_path / kind / f"{name}.wav"
        soundfile.write(path, np.full(soundfile.info(path).frames, 0.05), 8000, subtype="FLOAT")
    validate = validation(tmp_path)
    loss = validate()
    assert validate.left_out == 2
    for kind in ("mix", "s1", "s2"):
        rows = json.loads((tmp_path / f"{kind}.json").read_text())
        (tmp_path / f"{kind}.json").write_text(json.dumps([rows[number] for number in (0, 2, 4)]))
    others = validation(tmp_path)
    assert loss == pytest.approx(others(), abs=1e-4) and others.left_out == 0
    assert validate.improvement(loss) == pytest.approx(others.improvement(loss), abs=1e-4)


def test_a_set_of_silence_is_an_error(tmp_path, pynative):
    write_set(tmp_path)
    for path in (tmp_path / "s1").iterdir():
        soundfile.write(path, np.zeros(soundfile.info(path).frames), 8000, subtype="FLOAT")
    with pytest.raises(UserError, match="every mixture is silent or has a silent source"):
        validation(tmp_path)()
