"""scripts/run_standalone_train.sh and run_eval.sh: what they start in the background, and the logs."""

import re

import pytest

TRAIN = ("run_standalone_train.sh", "3", "--train_dir", "my data/tr")
EVALUATE = ("run_eval.sh", "0", "best.ckpt", "data/tt", "--metrics", "sdr")


def test_train(checkout):
    result = checkout.run(*TRAIN)
    assert result.returncode == 0, result.stderr
    assert re.search(r"PID \d+; it writes .*user's folder/train\.log", result.stdout)
    expected = f"output of -u {checkout.root}/train.py --device_id 3 --train_dir my data/tr\n"
    assert checkout.log("train.log") == expected


def test_evaluate(checkout):
    checkout.run(*EVALUATE, DEVICE_TARGET="CPU")
    assert checkout.log("eval.log") == (
        f"output of -u {checkout.root}/evaluate.py --device_id 0 --device_target CPU --model_path best.ckpt"
        " --data_dir data/tt --metrics sdr\n"
    )


def test_checkout_environment_comes_first(checkout):
    checkout.run("setup_env.sh")
    checkout.run(*TRAIN, PYTHON="false")
    assert checkout.log("train.log").startswith("output of ")


@pytest.mark.parametrize("command, log", [(TRAIN, "train.log"), (EVALUATE, "eval.log")])
def test_earlier_logs_are_kept(checkout, command, log):
    (checkout.user / log).write_text("the first\n")
    (checkout.user / f"{log}.1").write_text("an older one\n")
    result = checkout.run(*command)
    assert f"the earlier {log} is now {log}.2" in result.stdout
    assert (checkout.user / f"{log}.1").read_text() == "an older one\n"
    assert (checkout.user / f"{log}.2").read_text() == "the first\n"
    assert checkout.log(log).startswith("output of ")


@pytest.mark.parametrize(
    "command",
    [
        ("run_standalone_train.sh",),
        ("run_standalone_train.sh", "--train_dir", "data/tr"),
        ("run_standalone_train.sh", "first"),
        ("run_standalone_train.sh", "-1"),
        ("run_eval.sh",),
        ("run_eval.sh", "0", "best.ckpt"),
        ("run_eval.sh", "best.ckpt", "data/tt", "0"),
        ("run_eval.sh", "0", "--model_path", "best.ckpt"),
    ],
)
def test_wrong_arguments(checkout, command):
    result = checkout.run(*command)
    assert result.returncode == 2
    assert result.stderr.startswith(f"usage: bash scripts/{command[0]} DEVICE_ID")
    assert result.stdout == "" and checkout.calls() == [] and list(checkout.user.iterdir()) == []
