""".ci, .pre-commit-config.yaml and the hosted workflow: all run the same checks, and need no one else's repository."""

import re
import subprocess
import sys

import yaml
from conftest import ROOT


def read_yaml(name):
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_a_commit_is_checked_as_the_change_is():
    (repository,) = read_yaml(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    (hook,) = repository["hooks"]
    assert hook["language"] == "system" and not hook["pass_filenames"]
    assert hook["entry"] in (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()


def test_pre_commit_reads_its_configuration():
    command = [sys.executable, "-m", "pre_commit", "validate-config"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_hosted_workflow_only_calls_ci_run():
    (job,) = read_yaml(".github/workflows/ci.yml")["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == ["bash .ci/run"]


def run_oldest(checkout, **environment):
    (checkout.root / "tests").mkdir(exist_ok=True)
    checkout.run("setup_env.sh")
    return checkout.run("../.ci/oldest", **{"XDG_CACHE_HOME": str(checkout.user)} | environment)


def releases(checkout):
    """The releases of MindSpore that pip was asked for."""
    return [word for call in checkout.installs() for word in call.split() if word.startswith("mindspore==")]


def test_the_oldest_mindspore_is_the_one_that_the_requirements_begin_with(checkout):
    (bounds,) = re.findall(r"^mindspore>=(\S+),<", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    first = run_oldest(checkout)
    assert first.returncode == 0, first.stderr
    assert releases(checkout) == [f"mindspore=={bounds}.0"]
    assert all((ROOT / word).exists() for word in checkout.calls()[-1].split() if word.startswith("tests/"))
    again = run_oldest(checkout)
    assert again.returncode == 0 and not checkout.installs() and " -m pytest " in f" {checkout.calls()[-1]}"


def test_the_oldest_mindspore_is_tried_in_a_later_release_or_skipped(checkout):
    later = run_oldest(checkout, FAIL=".0 pytest")
    assert later.returncode == 0 and len(releases(checkout)) == 2
    assert releases(checkout)[1].endswith(".*")
    none = run_oldest(checkout, XDG_CACHE_HOME=str(checkout.root), FAIL="mindspore==")
    assert none.returncode == 0 and none.stdout.startswith("skipped 1 check: MindSpore 2.")
    assert not any("pytest --" in call for call in checkout.calls())


def test_a_failure_with_the_oldest_mindspore_fails_the_check(checkout):
    assert run_oldest(checkout, FAIL="-m pytest").returncode == 3
