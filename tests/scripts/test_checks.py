""".ci, .pre-commit-config.yaml and the hosted workflow: all run the same checks, and need no one else's repository."""

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
