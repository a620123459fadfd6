"""training/schedule.py: the learning rate, the end, and options that do not go together."""

import math

import pytest

from common.command_line import parse
from common.errors import UserError
from training.schedule import check_training, halvings, learning_rate, why_over

FOLDERS = ["--train_dir", "tr", "--valid_dir", "cv", "--save_folder", "exp"]


def options(*more):
    return parse("", "training_data", "data", "training", argv=[*FOLDERS, *more])


@pytest.mark.parametrize(
    "losses, expected",
    [
        ([], 0),
        ([3, 2, 1], 0),
        ([3, 2, 2.5, 2], 1),
        ([3, 2, 2.5, 1, 1.5], 0),
        ([3, 4, 4, 4, 4], 2),
        ([3, 4, 4, 2, 4, 4], 2),
    ],
)
def test_halvings_after_two_epochs_without_improvement(losses, expected):
    assert halvings(losses, 2) == expected


def test_rate_is_halved():
    args = options("--schedule", "halve", "--patience", "2", "--lr", "0.8")
    assert learning_rate(args, [1, 2, 2, 2, 2], 50, 1000) == pytest.approx(0.2)


def test_cosine_falls_from_lr_to_zero():
    args = options("--schedule", "cosine", "--lr", "0.8")
    rates = [learning_rate(args, [], step, 100) for step in (0, 25, 50, 100, 130)]
    assert rates == pytest.approx([0.8, 0.4 * (1 + math.cos(math.pi / 4)), 0.4, 0, 0])


def test_warm_up_rises_in_a_line_and_then_the_schedule_holds():
    args = options("--warmup", "4", "--lr", "1")
    assert [learning_rate(args, [], step, 100) for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])


def test_constant_rate():
    assert learning_rate(options("--lr", "0.3"), [1, 2, 3, 4, 5, 6, 7, 8], 999, 1000) == 0.3


def test_the_end():
    args = options("--epochs", "5", "--early_stop", "2")
    assert why_over(args, []) is None
    assert why_over(args, [3, 2, 4]) is None
    assert "2 epochs without improvement" in why_over(args, [3, 2, 4, 2])
    assert "5 epochs are done" in why_over(args, [5, 4, 3, 2, 1])
    assert why_over(options("--epochs", "9"), [3, 4, 4, 4, 4, 4, 4]) is None


@pytest.mark.parametrize(
    "given, message",
    [
        (["--lr", "0"], "--lr 0.0"),
        (["--lr", "nan"], "--lr nan"),
        (["--batch_size", "0"], "--batch_size 0"),
        (["--accumulate", "0"], "--accumulate 0"),
        (["--patience", "0"], "--patience 0"),
        (["--momentum", "0.9"], "--optimizer sgd"),
        (["--momentum", "1", "--optimizer", "sgd"], "--momentum 1.0"),
        (["--ema", "1"], "--ema 1.0"),
        (["--max_norm", "-1"], "--max_norm -1"),
        (["--seed", "-1"], "--seed -1"),
        (["--save_every", "-1"], "--save_every -1"),
        (["--keep_checkpoint_max", "-1"], "--keep_checkpoint_max -1"),
        (["--max_bad_steps", "0"], "--max_bad_steps 0"),
        (["--num_workers", "0"], "--num_workers 0"),
        (["--schedule", "halve", "--patience", "5", "--early_stop", "3"], "--early_stop 3"),
        (["--schedule", "cosine", "--patience", "3"], "--patience 3"),
        (["--amp_type", "bfloat16"], "--amp_type bfloat16"),
    ],
)
def test_what_makes_no_sense(given, message):
    check_training(options())
    with pytest.raises(UserError) as error:
        check_training(options(*given))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
