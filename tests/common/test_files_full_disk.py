"""common/files.py on a full disk: whatever a script writes, each write that fails is one line and leaves nothing half.

A limit on the size of files fails as a full disk does. It grows until the job succeeds.
"""

import io
import resource
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from made_up import made_up
from small_corpus import RATE, make_corpus, make_index, options_of
from small_recordings import tones, write

import preprocess
from ascend310_infer.cut_pieces import write_pieces
from common.errors import UserError
from corpus import generate
from corpus.loading import load_index
from evaluation.report import write_report
from evaluation.summary import write_csv, write_summary
from export import export
from model import ConvTasNet
from network.checkpoint import publish, write_checkpoint
from network.options import NetworkOptions
from training.progress import Watch
from training.run_folder import locked, write_config

EPOCH = dict.fromkeys(("epoch", "train_loss", "valid_loss", "valid_si_snri"), 1.0)
GROWING = "train.log", ".lock"  # which lines are added to


@contextmanager
def files_of_at_most(size):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def contents(folder):
    """{name: bytes} of all files below a folder, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fails_in_one_line(job, folder, is_same=True):
    """Do a job that writes below `folder` with more and more room. `is_same`: it writes the same bytes every time."""
    failures, size, before = [], 0, set(folder.rglob(".*"))
    while True:
        try:
            with files_of_at_most(size):
                job()
            break
        except UserError as error:
            assert "\n" not in str(error)
            failures.append(contents(folder))
        assert set(folder.rglob(".*")) - before <= {folder / ".lock"}
        size = 2 * size + 16
    assert failures
    whole = contents(folder)
    for there in failures if is_same else []:
        for name in there.keys() - GROWING:
            assert there[name] == whole[name], f"{name} was left half written"
    return len(failures)


@pytest.fixture
def out(device, tmp_path, monkeypatch, capsys):
    """A folder for everything, temporary folders too; what is printed is caught in memory."""
    folder = tmp_path / "written"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def tree(tmp_path):
    """A corpus of folders, with a mixture that lacks a source among 200."""
    for part in ("mix_clean", "s1", "s2"):
        (tmp_path / "corpus" / "tt" / part).mkdir(parents=True)
        for number in range(200 - (part == "s2")):
            path = tmp_path / "corpus" / "tt" / part / f"{number}.wav"
            soundfile.write(path, np.full(8, 0.25 if part == "mix_clean" else 0.125), RATE)
    return tmp_path / "corpus"


def test_an_index_of_files(tree, out):
    options = ["--in-dir", str(tree), "--out-dir", str(out / "index"), "--on_bad_file", "skip"]
    assert fails_in_one_line(lambda: preprocess.main(options), out) > 5


def test_an_index_of_mixtures(corpus, out):
    fails_in_one_line(lambda: make_index(corpus, out / "index"), out)


def test_a_librimix_tree(corpus, out, monkeypatch):
    def here(function, items, **_):
        yield from (function(*item) for item in items)

    monkeypatch.setattr(generate, "map_in_processes", here)
    options = [*map(str, options_of(corpus)), "--generate", str(out / "LibriMix")]
    fails_in_one_line(lambda: preprocess.main(options), out)


@pytest.mark.parametrize(("subtype", "seconds"), [("PCM_16", 0.1), ("FLOAT", 0.1), ("PCM_16", 18)])
def test_estimates_and_their_picture(tmp_path, out, band_main, subtype, seconds):
    """Of one piece, and of two."""
    path = write(tmp_path / "x.wav", tones(int(seconds * RATE), RATE).sum(0), subtype=subtype)
    options = ["--out_dir", str(out / "estimates"), "--plot", "--overwrite"]
    assert fails_in_one_line(lambda: band_main(path, *options), out) > 5


def test_standard_input_and_its_copy(tmp_path, out, band_standard_input, monkeypatch):
    """The temporary folder fills up while standard input is copied, separated, or written on."""
    write(tmp_path / "x.wav", tones(800, RATE).sum(0), subtype="PCM_16")
    given = io.BytesIO()

    def separate():
        with open(tmp_path / "x.wav", "rb") as stream:
            monkeypatch.setattr(sys, "stdin", stream)
            band_standard_input(given)

    assert fails_in_one_line(separate, out) > 5
    assert contents(out) == {}
    assert soundfile.info(io.BytesIO(given.getvalue())).frames == 800


@pytest.fixture
def band_standard_input(monkeypatch):
    """Separates standard input with BandNet into a stream of bytes."""
    from small_recordings import BandNet

    import separate

    monkeypatch.setattr(separate, "load_network", lambda args: BandNet())

    def run(stream):
        stream.seek(0)
        monkeypatch.setattr(sys, "__stdout__", SimpleNamespace(buffer=stream))
        separate.main(["-", "--model_path", "any", "--device_target", "CPU"])

    return run


def test_an_evaluation(out):
    scores, summary, examples = made_up(3, seconds=0.1)
    fails_in_one_line(lambda: write_csv(out / "results.csv", scores), out)
    fails_in_one_line(lambda: write_summary(out / "summary.json", summary), out)
    fails_in_one_line(lambda: write_report(out / "report.html", scores, summary, examples), out, is_same=False)


@pytest.fixture(scope="module")
def net(device):
    return ConvTasNet(NetworkOptions(N=8, L=4, B=4, H=4, X=1, R=1), RATE)


def test_checkpoints_and_what_is_exported(net, tmp_path, out, monkeypatch):
    fails_in_one_line(lambda: write_checkpoint(out / "net.ckpt", net), out, is_same=False)
    fails_in_one_line(lambda: publish(out / "net.ckpt", out / "half.ckpt"), out, is_same=False)

    def write_anything(net, path, mixture):
        with open(path, "wb") as file:
            file.write(bytes(3000))

    monkeypatch.setattr("export.FORMATS", {"MINDIR": (write_anything, lambda path: None)})
    monkeypatch.setattr("export.largest_difference", lambda *_: 0.0)
    checkpoint = str(out / "net.ckpt")
    fails_in_one_line(
        lambda: export(net, str(out / "n.mindir"), "MINDIR", 1, 800, checkpoint, "CPU"), out, is_same=False
    )


def test_the_folder_of_a_run(out):
    def run():
        with locked(out):
            write_config(out, {"lr": 1e-3})
            watch = Watch(out, is_first=True)
            watch.log("a line")
            watch.record([EPOCH])

    assert fails_in_one_line(run, out) > 5


def test_pieces_for_the_program_in_cpp(tmp_path, out):
    make_corpus(tmp_path / "index", [700])
    index = load_index(tmp_path / "index", RATE)
    facts = {"batch_size": 2, "length": 400, "speakers": 2}
    assert fails_in_one_line(lambda: write_pieces(out, index, [(0, 0), (0, 300), (0, 300)], facts), out) > 3
