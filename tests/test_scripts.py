"""scripts/*.sh, run in a stand-in checkout whose interpreter only notes its command lines; its path has a space."""

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
    "evaluate.py "*) printf '%s\n' "utterances: 3" "Average SISNR improvement: 7.50" ;;
    "-u "*) echo "output of $*" ;;
esac
"""


class Checkout:
    """A copy of the scripts, a stand-in Python at `python`, and a folder of the user's to run them in."""

    def __init__(self, folder):
        self.root, self.user = folder / "a checkout", folder / "user's folder"
        self.user.mkdir()
        shutil.copytree(ROOT / "scripts", self.root / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
        for requirements in ROOT.glob("requirements*.txt"):
            shutil.copy(requirements, self.root)
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
        assert lines[-2].endswith(f"{checkout.root}/quickstart/run-1/separated")
        steps = [call for call in checkout.calls() if "quickstart/" in call]
        scripts = ["scripts.make_corpus", "preprocess.py", "train.py", "evaluate.py", "separate.py", "export.py"]
        assert len(steps) == len(scripts)
        for script, step in zip(scripts, steps, strict=True):
            assert script in step
            assert any(line.endswith(f"$ .venv/bin/python {step}") for line in lines)
        assert re.search(r"mix_clean/a\.wav \S+mix_clean/b\.wav$", steps[4])

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
    EVALUATE = ("run_eval.sh", "0", "best.ckpt", "data/tt", "--cal_sdr", "1")

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
            " --data_dir data/tt --cal_sdr 1\n"
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
