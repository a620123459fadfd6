"""scripts/setup_env.sh: makes .venv once, and installs only what changed."""

import re

import pytest


def test_makes_environment_once(checkout):
    first = checkout.run("setup_env.sh", "requirements.txt")
    assert first.returncode == 0, first.stderr
    assert f"-m venv {checkout.root}/.venv" in checkout.calls()
    assert checkout.installs() == [
        f"-m pip install --disable-pip-version-check --requirement {checkout.root}/requirements.txt"
    ]
    second = checkout.run("setup_env.sh", "requirements.txt")
    assert second.returncode == 0 and second.stdout == ""
    assert not checkout.installs() and not any("-m venv" in call for call in checkout.calls())


def test_installs_again_when_requirements_change(checkout):
    checkout.run("setup_env.sh", "requirements.txt", "requirements/test.txt")
    with open(checkout.root / "requirements.txt", "a") as file:
        file.write("another-package\n")
    result = checkout.run("setup_env.sh", "requirements.txt", "requirements/test.txt")
    assert "installing requirements.txt into .venv" in result.stdout
    assert len(checkout.installs()) == 1
    checkout.run("setup_env.sh", "requirements.txt", "requirements/test.txt")
    assert not checkout.installs()


def test_failed_installation_is_tried_again(checkout):
    assert checkout.run("setup_env.sh", "requirements.txt", FAIL="pip install").returncode == 3
    checkout.run("setup_env.sh", "requirements.txt")
    assert len(checkout.installs()) == 1


@pytest.mark.parametrize("script", ["setup_env.sh", "run_tests.sh", "quickstart.sh"])
def test_no_suitable_python(checkout, script):
    result = checkout.run(script, FAIL="sys.version_info")
    assert result.returncode == 2
    assert result.stdout == ""
    assert re.fullmatch(r"error: no Python 3\.10 to 3\.12 found \(tried: .*python of ours\).*\n", result.stderr)


def test_environment_of_another_python(checkout):
    checkout.run("setup_env.sh")
    result = checkout.run("setup_env.sh", FAIL="sys.version_info")
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: {checkout.root}/.venv: not Python 3.10 to 3.12")
