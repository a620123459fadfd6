"""scripts/run_distribute_train.sh: what it starts on each device, and which mistakes it finds before."""

import json
import re

import pytest

SCRIPT = "run_distribute_train.sh"
OPTIONS = ("--train_dir", "my data/tr")


@pytest.fixture
def table(checkout):
    """Name of a rank table of two devices, 4 and 5."""
    devices = [{"device_id": str(4 + n), "device_ip": f"192.168.1.{n}", "rank_id": str(n)} for n in range(2)]
    (checkout.user / "table.json").write_text(json.dumps({"server_list": [{"device": devices}]}))
    return "table.json"


def test_msrun_starts_the_ranks(checkout):
    checkout.run("setup_env.sh")
    nodes = {"NODE_NUM": "2", "NODE_RANK": "1", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "9000"}
    result = checkout.run(SCRIPT, "4", "1", *OPTIONS, DEVICE_TARGET="CPU", **nodes)
    assert result.returncode == 0, result.stderr
    assert checkout.calls() == [
        "-m mindspore.parallel.cluster.run --worker_num=8 --local_worker_num=4 --node_rank=1 --master_addr=10.0.0.1"
        f" --master_port=9000 --log_dir={checkout.user}/distribute --worker_log_name=rank --join=True"
        f" --tail_worker_log=4 python {checkout.root}/train.py --distribute 1 --train_dir my data/tr"
        " --device_target CPU"
    ]


def test_ranks_on_cards_have_cores_of_their_own(checkout):
    checkout.run("setup_env.sh")
    for device in ({}, {"DEVICE_TARGET": "Ascend"}):
        assert checkout.run(SCRIPT, "4", "1", *OPTIONS, **device).returncode == 0
        assert " --join=True --bind_core=True --tail_worker_log=0 " in checkout.calls()[-1]


def test_msrun_fails(checkout):
    checkout.run("setup_env.sh")
    result = checkout.run(SCRIPT, "2", "True", *OPTIONS, FAIL="cluster.run")
    assert result.returncode == 1
    assert result.stderr == f"error: a rank ended before it had met the others; see {checkout.user}/distribute\n"


def test_interpreter_that_msrun_would_not_start(checkout):
    result = checkout.run(SCRIPT, "2", "1", *OPTIONS)
    assert result.returncode == 2
    assert re.fullmatch(r"error: PYTHON=.*python of ours: msrun starts only .*\n", result.stderr)


def test_rank_table_names_the_devices(checkout, table):
    (checkout.user / "distribute").mkdir()
    result = checkout.run(SCRIPT, "2", "1", table, *OPTIONS)
    assert result.returncode == 0, result.stderr
    assert (checkout.user / "distribute.1").is_dir()
    for rank, device in enumerate((4, 5)):
        expected = (
            f"{checkout.root}/train.py --distribute 1 --train_dir my data/tr, rank {rank} of 2 on device {device}"
        )
        assert checkout.log(f"distribute/rank_{rank}.log") == f"output of -u {expected}\n"
    assert "rank 0 of 2 on device 4" in result.stdout
    assert "rank 1 of 2" not in result.stdout


def test_rank_that_fails_is_named(checkout, table):
    result = checkout.run(SCRIPT, "2", "1", table, *OPTIONS, FAIL="train.py")
    assert result.returncode == 1
    assert re.search(r"^error: rank \d \(process \d+\) ended with status 3, .*rank_\d\.log", result.stderr, re.M)


@pytest.mark.parametrize(
    "arguments, environment, message",
    [
        (("2", "1", "none.json"), {}, "none.json: cannot be read as JSON"),
        (("3", "1", "table.json"), {}, "table.json: lists 2 devices"),
        (("2", "1", "table.json"), {"DEVICE_TARGET": "CPU"}, "a rank table is for Ascend"),
        (("1", "0"), {}, "take scripts/run_standalone_train.sh"),
        (("2", "1"), {"NODE_NUM": "2"}, "set MASTER_ADDR"),
        (("2", "1"), {"NODE_NUM": "2", "NODE_RANK": "2", "MASTER_ADDR": "10.0.0.1"}, "NODE_RANK must be 0 to"),
        (("2",), {}, "usage: "),
        (("0", "1"), {}, "usage: "),
        (("2", "yes"), {}, "usage: "),
    ],
)
def test_nothing_starts_with_wrong_arguments(checkout, table, arguments, environment, message):
    result = checkout.run(SCRIPT, *arguments, **environment)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stdout == "" and [file.name for file in checkout.user.iterdir()] == [table]
    assert not [call for call in checkout.calls() if "train.py" in call]
