"""scripts/*.sh, run in a stand-in checkout whose interpreter only notes its command lines; its path has a space."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHELLCHECK = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
INTERPRETER = r"""#!/usr/bin/env bash
# Does what the scripts expect of Python, as far as they can see. $FAIL: the word in a command line that fails.
printf '%s\n' "$*" >>"$CALLS"
if [[ -n "${FAIL:-}" && "$*" == *"$FAIL"* ]]; then
    echo "failed at $FAIL" >&2
    exit 3
fi
case "$*" in
    "-m venv "*)
        mkdir -p "$3/bin"
        cp "$0" "$3/bin/python"
        ;;
    "preprocess.py "*)
        folder=$(sed 's/.*--generate \([^ ]*\).*/\1/' <<<"$*")/Libri2Mix/wav8k/min/test/mix_clean
        mkdir -p "$folder"
        touch "$folder/a.wav" "$folder/b.wav" "$folder/c.wav"
        ;;
    "separate.py "*)
        folder=$(sed 's/.*--out_dir \([^ ]*\).*/\1/' <<<"$*")
        mkdir -p "$folder"
        touch "$folder/a_s1.wav" "$folder/b_s1.wav"
        ;;
    "evaluate.py "*) printf '%s\n' "utterances: 3" "Average SISNR improvement: 7.50" ;;
    *"/rank_table.py "*) exec "$REAL_PYTHON" "$@" ;;
    "-u "*) echo "output of $*${RANK_ID:+, rank $RANK_ID of $RANK_SIZE on device $DEVICE_ID}" ;;
esac
"""


class Checkout:
    """A copy of the scripts, a stand-in Python at `python`, and a folder of the user's to run them in."""

    def __init__(self, folder):
        self.root, self.user = folder / "a checkout", folder / "user's folder"
        self.user.mkdir()
        shutil.copytree(ROOT / "scripts", self.root / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(ROOT / "common", self.root / "common", ignore=shutil.ignore_patterns("__pycache__"))
        for file in ROOT.glob("requirements*.txt"):
            shutil.copy(file, self.root)
        self.python = folder / "python of ours"
        self.python.write_text(INTERPRETER)
        self.python.chmod(0o755)
        self.calls_file = folder / "calls"

    def run(self, script, *arguments, **environment):
        """Run a script in the user's folder; returns exit status, standard output and standard error."""
        self.calls_file.write_text("")
        environment = {
            "PYTHON": str(self.python),
            "CALLS": str(self.calls_file),
            "REAL_PYTHON": sys.executable,
            "PATH": os.environ["PATH"],
        } | environment
        command = ["bash", self.root / "scripts" / script, *arguments]
        return subprocess.run(command, cwd=self.user, env=environment, capture_output=True, text=True)

    def calls(self):
        """The interpreter's command lines during the last run."""
        return self.calls_file.read_text().splitlines()

    def log(self, name):
        """The text of a log of the user's, once the script in the background has written it."""
        for _ in range(100):
            text = (self.user / name).read_text()
            if text:
                return text
            time.sleep(0.05)
        raise AssertionError(f"{name} stayed empty")


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


def installs(calls):
    return [call for call in calls if call.startswith("-m pip install")]


@pytest.mark.skipif(SHELLCHECK is None, reason="no shellcheck")
def test_shellcheck():
    scripts = [*sorted((ROOT / "scripts").glob("*.sh")), ROOT / ".ci" / "run"]
    result = subprocess.run([SHELLCHECK, "--external-sources", *scripts], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


class TestSetup:
    def test_makes_environment_once(self, checkout):
        first = checkout.run("setup_env.sh", "requirements.txt")
        assert first.returncode == 0, first.stderr
        assert f"-m venv {checkout.root}/.venv" in checkout.calls()
        assert installs(checkout.calls()) == [
            f"-m pip install --disable-pip-version-check --requirement {checkout.root}/requirements.txt"
        ]
        second = checkout.run("setup_env.sh", "requirements.txt")
        assert second.returncode == 0 and second.stdout == ""
        assert not installs(checkout.calls()) and not any("-m venv" in call for call in checkout.calls())

    def test_installs_again_when_requirements_change(self, checkout):
        checkout.run("setup_env.sh", "requirements.txt", "requirements-test.txt")
        with open(checkout.root / "requirements.txt", "a") as file:
            file.write("another-package\n")
        result = checkout.run("setup_env.sh", "requirements.txt", "requirements-test.txt")
        assert "installing requirements.txt into .venv" in result.stdout
        assert len(installs(checkout.calls())) == 1
        checkout.run("setup_env.sh", "requirements.txt", "requirements-test.txt")
        assert not installs(checkout.calls())

    def test_failed_installation_is_tried_again(self, checkout):
        assert checkout.run("setup_env.sh", "requirements.txt", FAIL="pip install").returncode == 3
        checkout.run("setup_env.sh", "requirements.txt")
        assert len(installs(checkout.calls())) == 1

    @pytest.mark.parametrize("script", ["setup_env.sh", "run_tests.sh", "quickstart.sh"])
    def test_no_suitable_python(self, checkout, script):
        result = checkout.run(script, FAIL="sys.version_info")
        assert result.returncode == 2
        assert result.stdout == ""
        assert re.fullmatch(r"error: no Python 3\.10 to 3\.12 found \(tried: .*python of ours\).*\n", result.stderr)

    def test_environment_of_another_python(self, checkout):
        checkout.run("setup_env.sh")
        result = checkout.run("setup_env.sh", FAIL="sys.version_info")
        assert result.returncode == 2
        assert result.stderr.startswith(f"error: {checkout.root}/.venv: not Python 3.10 to 3.12")


class TestRunTests:
    def test_arguments_go_to_pytest(self, checkout):
        result = checkout.run("run_tests.sh", "-m", "not slow", "-x")
        assert result.returncode == 0, result.stderr
        assert checkout.calls()[-1] == "-m pytest tests -m not slow -x"
        for requirements in ("requirements.txt", "requirements-quickstart.txt", "requirements-test.txt"):
            assert f"--requirement {checkout.root}/{requirements}" in installs(checkout.calls())[0]

    def test_fails_with_pytest(self, checkout):
        assert checkout.run("run_tests.sh", FAIL="pytest tests").returncode == 3


class TestQuickstart:
    def test_steps_and_last_line(self, checkout):
        result = checkout.run("quickstart.sh")
        assert result.returncode == 0, result.stderr
        lines = result.stdout.splitlines()
        assert lines[-1] == "Average SISNR improvement: 7.50"
        assert lines[-2].endswith(f"{checkout.root}/quickstart/run-1/results/report.html")
        assert lines[-3].endswith(f"{checkout.root}/quickstart/run-1/separated")
        steps = [call for call in checkout.calls() if "quickstart/" in call]
        scripts = ["scripts.make_corpus", "preprocess.py", "separate.py", "train.py", "evaluate.py", "separate.py"]
        scripts.append("export.py")
        assert len(steps) == len(scripts)
        for script, step in zip(scripts, steps, strict=True):
            assert script in step
            assert any(line.endswith(f"$ .venv/bin/python {step}") for line in lines)
        for step in (steps[2], steps[5]):
            assert re.search(r"mix_clean/a\.wav \S+mix_clean/b\.wav$", step)
        assert "--model_path" not in steps[2]
        shown = lines[lines.index(next(line for line in lines if line.startswith("To hear now"))) + 1 :][:4]
        assert [line.split("/")[-1] for line in shown] == ["a.wav", "b.wav", "a_s1.wav", "b_s1.wav"]

    def test_second_run_trains_anew(self, checkout):
        checkout.run("quickstart.sh")
        first = [call for call in checkout.calls() if call.startswith("train.py")]
        result = checkout.run("quickstart.sh")
        assert result.returncode == 0, result.stderr
        second = [call for call in checkout.calls() if call.startswith("train.py")]
        assert second == [first[0].replace("run-1", "run-2")]
        assert not installs(checkout.calls())
        assert (checkout.root / "quickstart/run-1/evaluate.log").exists()

    @pytest.mark.parametrize("step", ["scripts.make_corpus", "train.py", "evaluate.py", "export.py"])
    def test_stops_where_a_step_fails(self, checkout, step):
        result = checkout.run("quickstart.sh", FAIL=step)
        assert result.returncode == 3
        assert step in checkout.calls()[-1]
        assert result.stderr.endswith(f"failed at {step}\n")
        assert "Done" not in result.stdout


class TestLaunch:
    TRAIN = ("run_standalone_train.sh", "3", "--train_dir", "my data/tr")
    EVALUATE = ("run_eval.sh", "0", "best.ckpt", "data/tt", "--metrics", "sdr")

    def test_train(self, checkout):
        result = checkout.run(*self.TRAIN)
        assert result.returncode == 0, result.stderr
        assert re.search(r"PID \d+; it writes .*user's folder/train\.log", result.stdout)
        expected = f"output of -u {checkout.root}/train.py --device_id 3 --train_dir my data/tr\n"
        assert checkout.log("train.log") == expected

    def test_evaluate(self, checkout):
        checkout.run(*self.EVALUATE, DEVICE_TARGET="CPU")
        assert checkout.log("eval.log") == (
            f"output of -u {checkout.root}/evaluate.py --device_id 0 --device_target CPU --model_path best.ckpt"
            " --data_dir data/tt --metrics sdr\n"
        )

    def test_checkout_environment_comes_first(self, checkout):
        checkout.run("setup_env.sh")
        checkout.run(*self.TRAIN, PYTHON="false")
        assert checkout.log("train.log").startswith("output of ")

    @pytest.mark.parametrize("command, log", [(TRAIN, "train.log"), (EVALUATE, "eval.log")])
    def test_earlier_logs_are_kept(self, checkout, command, log):
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
    def test_wrong_arguments(self, checkout, command):
        result = checkout.run(*command)
        assert result.returncode == 2
        assert result.stderr.startswith(f"usage: bash scripts/{command[0]} DEVICE_ID")
        assert result.stdout == "" and checkout.calls() == [] and list(checkout.user.iterdir()) == []


class TestDistribute:
    SCRIPT = "run_distribute_train.sh"
    OPTIONS = ("--train_dir", "my data/tr")

    @pytest.fixture
    def table(self, checkout):
        """Name of a rank table of two devices, 4 and 5."""
        devices = [{"device_id": str(4 + n), "device_ip": f"192.168.1.{n}", "rank_id": str(n)} for n in range(2)]
        (checkout.user / "table.json").write_text(json.dumps({"server_list": [{"device": devices}]}))
        return "table.json"

    def test_msrun_starts_the_ranks(self, checkout):
        checkout.run("setup_env.sh")
        nodes = {"NODE_NUM": "2", "NODE_RANK": "1", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "9000"}
        result = checkout.run(self.SCRIPT, "4", "1", *self.OPTIONS, DEVICE_TARGET="CPU", **nodes)
        assert result.returncode == 0, result.stderr
        assert checkout.calls() == [
            "-m mindspore.parallel.cluster.run --worker_num=8 --local_worker_num=4 --node_rank=1 --master_addr=10.0.0.1"
            f" --master_port=9000 --log_dir={checkout.user}/distribute --worker_log_name=rank --join=True"
            f" --tail_worker_log=4 python {checkout.root}/train.py --distribute 1 --train_dir my data/tr"
            " --device_target CPU"
        ]

    def test_msrun_fails(self, checkout):
        checkout.run("setup_env.sh")
        result = checkout.run(self.SCRIPT, "2", "True", *self.OPTIONS, FAIL="cluster.run")
        assert result.returncode == 1
        assert result.stderr == f"error: a rank ended before it had met the others; see {checkout.user}/distribute\n"

    def test_interpreter_that_msrun_would_not_start(self, checkout):
        result = checkout.run(self.SCRIPT, "2", "1", *self.OPTIONS)
        assert result.returncode == 2
        assert re.fullmatch(r"error: PYTHON=.*python of ours: msrun starts only .*\n", result.stderr)

    def test_rank_table_names_the_devices(self, checkout, table):
        (checkout.user / "distribute").mkdir()
        result = checkout.run(self.SCRIPT, "2", "1", table, *self.OPTIONS)
        assert result.returncode == 0, result.stderr
        assert (checkout.user / "distribute.1").is_dir()
        for rank, device in enumerate((4, 5)):
            expected = (
                f"{checkout.root}/train.py --distribute 1 --train_dir my data/tr, rank {rank} of 2 on device {device}"
            )
            assert checkout.log(f"distribute/rank_{rank}.log") == f"output of -u {expected}\n"
        assert "rank 0 of 2 on device 4" in result.stdout
        assert "rank 1 of 2" not in result.stdout

    def test_rank_that_fails_is_named(self, checkout, table):
        result = checkout.run(self.SCRIPT, "2", "1", table, *self.OPTIONS, FAIL="train.py")
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
    def test_nothing_starts_with_wrong_arguments(self, checkout, table, arguments, environment, message):
        result = checkout.run(self.SCRIPT, *arguments, **environment)
        assert result.returncode == 2
        assert message in result.stderr
        assert result.stdout == "" and [file.name for file in checkout.user.iterdir()] == [table]
        assert not [call for call in checkout.calls() if "train.py" in call]
