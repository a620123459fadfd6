"""scripts/run_tests.sh: which tests it runs, and what it installs for them."""


def test_arguments_go_to_pytest(checkout):
    result = checkout.run("run_tests.sh", "-m", "not slow", "-x")
    assert result.returncode == 0, result.stderr
    assert checkout.calls()[-1] == "-m pytest tests -m not slow -x"
    for requirements in ("requirements.txt", "requirements/quickstart.txt", "requirements/test.txt"):
        assert f"--requirement {checkout.root}/{requirements}" in checkout.installs()[0]


def test_fails_with_pytest(checkout):
    assert checkout.run("run_tests.sh", FAIL="pytest tests").returncode == 3
