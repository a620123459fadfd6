"""scripts/run_tests.sh: which tests it runs, in which order, and what it installs for them."""

import pytest

TOGETHER = "-m pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder"


def test_slow_tests_are_left_out(checkout):
    result = checkout.run("run_tests.sh")
    assert result.returncode == 0, result.stderr
    assert checkout.calls()[-2:] == [f"{TOGETHER} -m not alone and not slow", "-m pytest -m alone and not slow"]
    for requirements in ("requirements.txt", "requirements/quickstart.txt", "requirements/test.txt"):
        assert f"--requirement {checkout.root}/{requirements}" in checkout.installs()[0]


def test_all_of_them(checkout):
    assert checkout.run("run_tests.sh", "--all", "--durations", "20").returncode == 0
    expected = [f"{TOGETHER} -m not alone --durations 20", "-m pytest -m alone --durations 20"]
    assert checkout.calls()[-2:] == expected


def test_other_arguments_go_to_pytest(checkout):
    assert checkout.run("run_tests.sh", "-m", "not slow", "-x").returncode == 0
    assert [call for call in checkout.calls() if call.startswith("-m pytest")] == ["-m pytest -m not slow -x"]


@pytest.mark.parametrize(
    "arguments, fails", [((), "-m not alone"), ((), "-m alone"), (("--all",), "-m alone"), (("-x",), "-m pytest -x")]
)
def test_fails_with_pytest(checkout, arguments, fails):
    assert checkout.run("run_tests.sh", *arguments, FAIL=fails).returncode == 3


def test_an_earlier_failure_is_not_forgotten(checkout):
    result = checkout.run("run_tests.sh", FAIL="-m not alone", STATUS="1")
    assert result.returncode == 1
    assert checkout.calls()[-1] == "-m pytest -m alone and not slow"
    assert result.stderr.endswith("error: tests failed before these; see above\n")
