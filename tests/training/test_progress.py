"""training/progress.py: what it writes beside train.py's own tests, and durations."""

import json
import sys

import pytest

from common.errors import UserError
from common.wording import duration
from training.progress import EpochBar, Watch, draw_curves

EPOCH = {"epoch": 1, "train_loss": 3.0, "valid_loss": 2.0, "valid_si_snri": 1.0}


@pytest.mark.parametrize(
    "seconds, text", [(0.4, "0 s"), (119, "119 s"), (150, "2 min"), (7100, "118 min"), (7500, "2 h 05 min")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_history_is_written_anew_as_it_is(tmp_path):
    """So that lines of epochs that a kill undid do not stay."""
    (tmp_path / "history.jsonl").write_text("an epoch that a kill undid\n" * 5)
    history = [EPOCH, EPOCH | {"epoch": 2, "train_loss": 1.5}]
    Watch(tmp_path, is_first=True).record(history)
    assert [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()] == history


def test_other_ranks_write_and_print_nothing(tmp_path, capsys):
    watch = Watch(tmp_path, is_first=False)
    watch.log("text")
    watch.record([EPOCH])
    with EpochBar(watch, 0, 3, 0) as bar:
        bar.step(1.0, 1.0, 0.1, 2.0, 1)
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr() == ("", "")


def test_curves_have_a_line_for_what_there_is():
    """An average that was asked for later has a curve from there on."""
    loss, improvement = draw_curves([EPOCH, EPOCH | {"ema_valid_loss": 1.0, "ema_valid_si_snri": 2.0}]).axes
    assert [len(axes.lines) for axes in (loss, improvement)] == [3, 2]
    assert [line.get_label() for line in loss.lines] == ["training", "validation", "validation, moving average"]
    assert loss.lines[0].get_ydata().tolist() == [3, 3]
    assert [len(axes.lines) for axes in draw_curves([EPOCH]).axes] == [2, 1]


def test_estimate_comes_once_after_ten_steps(tmp_path, capsys):
    watch = Watch(tmp_path, is_first=True)
    for epoch in range(2):
        with EpochBar(watch, epoch, 12, 0) as bar:
            for step in range(12):
                bar.step(1.0, 1.0, 0.1, 2.0, step)
    assert capsys.readouterr().out.count("an epoch takes about") == 1
    assert (tmp_path / "train.log").read_text().count("an epoch takes about") == 1


def test_tensorboard_without_its_writer(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(
        UserError, match=r"--tensorboard 1: needs tensorboardX; pip install -r requirements/extras\.txt"
    ):
        Watch(tmp_path, is_first=True, tensorboard=True)
