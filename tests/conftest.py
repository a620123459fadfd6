"""Puts the scripts on the path and finds the material beside the checkout."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes ten seconds or more; run_tests.sh runs it unless told otherwise")


@pytest.fixture(scope="session")
def shared():
    """Folder of real speech and reference outputs; tests that need it are skipped where it is missing."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs ../shared, which is not here")
    return folder


@pytest.fixture(scope="session")
def index(tmp_path_factory):
    """The folder of a small training set."""
    from small_training import write_set

    return write_set(tmp_path_factory.mktemp("index"))


@pytest.fixture(scope="session")
def device():
    """MindSpore on the CPU, in graph mode."""
    from device import set_device

    return set_device("CPU")
