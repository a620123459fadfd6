"""What many tests share: material, the device, small corpora; and a word about the tests that were left out."""

import signal
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from small_corpus import write_metadata

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_SECONDS = 300  # until a test believes that another process hangs, on a machine that does other things too
SLOW_ONES_LEFT_OUT = pytest.StashKey[int]()


def pytest_collection_modifyitems(items):
    """Files with the most slow tests come first: of several processes, none is left with one of them at the end."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


def pytest_deselected(items):
    for item in items:
        if item.get_closest_marker("slow"):
            item.config.stash[SLOW_ONES_LEFT_OUT] = item.config.stash.get(SLOW_ONES_LEFT_OUT, 0) + 1


def pytest_terminal_summary(terminalreporter, config):
    """Say how many slower tests a run without them left out."""
    left_out = config.stash.get(SLOW_ONES_LEFT_OUT, 0)
    if left_out and "not slow" in config.getoption("markexpr"):
        terminalreporter.write_line(f"left out {left_out} slower tests; with them: bash scripts/run_tests.sh --all")


def heed_signals():
    """For `preexec_fn`: heed what this process may ignore: Ctrl-C in the background, hang-ups under nohup."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


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
def three_epochs(index, tmp_path_factory):
    """The folder of a run of three epochs on `index`, to read from and not to write into."""
    from small_training import AVERAGES, HAS_TENSORBOARD, command

    import train

    folder = tmp_path_factory.mktemp("run")
    train.main(command(index, folder, "--epochs", "3", *AVERAGES, "--tensorboard", str(int(HAS_TENSORBOARD))))
    return folder


@pytest.fixture(scope="session")
def device():
    """MindSpore on the CPU, in graph mode."""
    from device import set_device

    return set_device("CPU")


@pytest.fixture
def pynative(device):
    """PyNative mode for a test, which compiles nothing."""
    import mindspore as ms

    ms.set_context(mode=ms.PYNATIVE_MODE)
    yield
    ms.set_context(mode=ms.GRAPH_MODE)


@pytest.fixture
def restore_mode(device):
    """Graph mode again after a test of PyNative mode."""
    import mindspore as ms

    yield
    ms.set_context(mode=ms.GRAPH_MODE)


pytest_plugins = [
    "browser",
    "cpp_program",
    "small_recordings",
    "stand_in_checkout",
]  # fixtures that are the same for many tests


@pytest.fixture
def corpus(tmp_path):
    """A LibriSpeech of three utterances of odd lengths, two noises, and metadata of two mixtures of two speakers."""
    random = np.random.default_rng(0)
    for name, length in (("a", 30001), ("b", 41234), ("c", 35557)):
        folder = tmp_path / "LibriSpeech" / "dev-clean"
        folder.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / f"{name}.flac", random.uniform(-0.3, 0.3, length), 16000)
    (tmp_path / "noises").mkdir()
    soundfile.write(tmp_path / "noises" / "short.wav", random.uniform(-0.3, 0.3, 17003), 16000)
    soundfile.write(tmp_path / "noises" / "stereo.wav", random.uniform(-0.3, 0.3, (50000, 2)), 16000)
    write_metadata(
        tmp_path / "md" / "libri2mix_dev-clean.csv",
        [
            ("a_b", [("dev-clean/a.flac", 0.7), ("dev-clean/b.flac", 1.3)], ("short.wav", 0.5)),
            ("c_a", [("dev-clean/c.flac", 0.9), ("dev-clean/a.flac", 0.6)], ("stereo.wav", 0.4)),
        ],
    )
    (tmp_path / "md" / "libri2mix_dev-clean_info.csv").write_text("mixture_ID\nx\n")
    return tmp_path
