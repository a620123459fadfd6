"""corpus/mixtures.py: mixtures computed while they are read against the tree, and what a faulty index says."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from formulas import paper_si_snr
from small_corpus import STEP, arrays, assert_same, make_index, write_metadata

import evaluate
import preprocess
import train
from common import audio
from common.errors import UserError
from corpus.bad_files import BadFiles, Part
from corpus.generate import every_signal
from corpus.loading import load_index
from corpus.metadata import read_mixtures
from corpus.mindrecord import write_mindrecord
from data import training_batches
from network.checkpoint import read_checkpoint

TASK_FILES = {
    "sep_clean": ("mix_clean", "s1", "s2"),
    "sep_noisy": ("mix_both", "s1", "s2"),
    "enh_single": ("mix_single", "s1"),
    "enh_both": ("mix_both", "mix_clean"),
}


def whole(index):
    return {name: index.read(u, 0, int(index.lengths[u])) for u, name in enumerate(index.names)}


@pytest.fixture(scope="module")
def speech(shared, tmp_path_factory):
    """Real speech with a few rows of its metadata, two and three speakers, as the fixture `corpus` has it."""
    folder = tmp_path_factory.mktemp("speech")
    (folder / "LibriSpeech").symlink_to(shared.resolve() / "speech" / "LibriSpeech")
    (folder / "noises").symlink_to(shared.resolve() / "speech")
    for speakers in (2, 3):
        name = f"Libri{speakers}Mix/libri{speakers}mix_dev-clean.csv"
        lines = (shared / "speech" / "metadata" / name).read_text().splitlines(keepends=True)[:6]
        (folder / f"md{speakers}").mkdir()
        (folder / f"md{speakers}" / Path(name).name).write_text("".join(lines))
    return folder


@pytest.mark.parametrize("rate", [8000, 16000, 11025])
@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("task", TASK_FILES)
def test_mixtures_are_those_of_the_generated_tree(corpus, tmp_path, task, mode, rate):
    options = ["--mode", mode, "--sample-rate", rate]
    fly = load_index(make_index(corpus, tmp_path / "fly", *options, task=task) / "cv", rate)
    tree = load_index(
        make_index(corpus, tmp_path / "tree", *options, "--generate", tmp_path / "lm", task=task) / "cv", rate
    )
    assert fly.names == tree.names == ["a_b", "c_a"] and fly.sources == tree.sources == len(TASK_FILES[task]) - 1
    assert fly.lengths.tolist() == tree.lengths.tolist()
    generated = whole(tree)
    mixtures = read_mixtures(corpus / "md", corpus / "LibriSpeech", corpus / "noises", Part(BadFiles(), 0))
    in_float = {m.name: every_signal(m, m.samples(mode, rate), rate) for (ms,) in [mixtures.values()] for m in ms}
    for name, mixed in whole(fly).items():
        assert mixed.dtype == np.float32
        expected = np.stack([in_float[name][file] for file in TASK_FILES[task]])
        np.testing.assert_array_equal(mixed, expected)
        assert np.abs(mixed - generated[name]).max() <= STEP


@pytest.mark.parametrize("rate", [8000, 16000, 11025])
@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("task", TASK_FILES)
def test_a_crop_is_the_same_stretch_of_the_whole(corpus, tmp_path, task, mode, rate):
    fly = load_index(
        make_index(corpus, tmp_path / "fly", "--mode", mode, "--sample-rate", rate, task=task) / "cv", rate
    )
    random = np.random.default_rng(1)
    for number, expected in enumerate(whole(fly).values()):
        length = expected.shape[1]
        stretches = [(0, 1), (0, length), (length - 1, 1), (length - 700, 700), (1, 701), (length // 2, 0)]
        starts = random.integers(0, length - 2000, 10)
        stretches += [(int(start), int(size)) for start, size in zip(starts, random.integers(1, 2000, 10), strict=True)]
        for start, size in stretches:
            np.testing.assert_allclose(fly.read(number, start, size), expected[:, start : start + size], atol=1e-6)


@pytest.mark.parametrize(
    ("speakers", "mode", "task"),
    [(2, "min", "sep_clean"), (2, "max", "enh_single"), (3, "max", "sep_noisy"), (3, "min", "enh_both")],
)
def test_real_speech_through_every_route(speech, tmp_path, speakers, mode, task):
    options = ["--librispeech-dir", speech / "LibriSpeech", "--metadata-dir", speech / f"md{speakers}", "--mode", mode]
    noise = [] if task == "sep_clean" else ["--noise-dir", speech / "noises", "--task", task]
    for out in (["fly"], ["tree", "--generate", tmp_path / "lm"]):
        preprocess.main([*map(str, [*options, *noise, "--out-dir", tmp_path / out[0], *out[1:]])])
    fly, tree = (load_index(tmp_path / name / "cv", 8000) for name in ("fly", "tree"))
    write_mindrecord(fly, tmp_path / "record", shards=2)
    record = load_index(tmp_path / "record", 8000)
    assert fly.sources == tree.sources == record.sources == (1 if task.startswith("enh") else speakers)
    assert len(fly) == 5 and fly.names == record.names
    assert not np.ptp(fly.lengths - tree.lengths) and fly.names == tree.names
    generated = whole(tree)
    for name, mixed in whole(fly).items():
        assert np.abs(mixed - generated[name]).max() <= STEP
        assert np.abs(mixed).max() > 0.02
        np.testing.assert_array_equal(whole(record)[name], mixed)


def test_batches_come_in_the_order_of_the_generated_trees(corpus, tmp_path):
    fly = load_index(make_index(corpus, tmp_path / "fly") / "cv", 8000)
    tree = load_index(make_index(corpus, tmp_path / "tree", "--generate", tmp_path / "lm") / "cv", 8000)
    first, second = (training_batches(which, 3, 0.5, 1, 3, 1, 2) for which in (fly, tree))
    assert first.order == second.order
    for batch, other in zip(arrays(first), arrays(second), strict=True):
        for column, same in zip(batch, other, strict=True):
            np.testing.assert_allclose(column, same, atol=STEP)
    assert_same(arrays(first), arrays(training_batches(fly, 3, 0.5, 1, 3, 1, 1)))


def test_a_crop_decodes_what_it_needs(corpus, tmp_path, monkeypatch):
    fly = load_index(make_index(corpus, tmp_path / "fly", "--mode", "max", task="sep_noisy") / "cv", 8000)
    decoded = []

    def decode(path, first, stop):
        decoded.append((Path(path).stem, stop - first))
        return audio.decode(path, first, stop)

    monkeypatch.setattr("corpus.mixtures.decode", decode)
    fly.read(1, 2000, 500)  # of c and a, and a noise that is long enough
    assert sorted(name for name, _ in decoded) == ["a", "c", "stereo"]
    assert all(1000 <= frames <= 1100 for _, frames in decoded)
    decoded.clear()
    fly.read(1, 15100, 500)  # a has ended
    assert sorted(name for name, _ in decoded) == ["c", "stereo"]


def test_sep_clean_needs_no_noise(corpus, tmp_path):
    for path in (corpus / "noises").iterdir():
        path.unlink()
    fly = load_index(make_index(corpus, tmp_path / "fly") / "cv", 8000)
    assert len(fly) == 2 and fly.noise == []
    with pytest.raises(UserError, match=r"--noise-dir .*noises: sep_clean has no noise"):
        make_index(corpus, tmp_path / "fly", "--noise-dir", corpus / "noises")
    for task in ("sep_noisy", "enh_single", "enh_both"):
        with pytest.raises(UserError, match=rf"--task {task}: has noise; add --noise-dir"):
            make_index(corpus, tmp_path / "fly", "--task", task)
        with pytest.raises(UserError, match=r"line 2: .*short.wav: no such noise"):
            make_index(corpus, tmp_path / "fly", task=task)


def test_a_part_of_librispeech_that_is_not_there(corpus, tmp_path, capsys):
    rows = [("x_y", [("train-clean-360/x.flac", 0.5), ("train-clean-360/y.flac", 0.5)], ("no.wav", 0.5))]
    write_metadata(corpus / "md" / "libri2mix_train-clean-360.csv", rows)
    make_index(corpus, tmp_path / "out", task="sep_noisy")
    assert "train-clean-360.csv: left out, " in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["cv"]
    (corpus / "LibriSpeech" / "dev-clean").rename(corpus / "elsewhere")
    with pytest.raises(UserError, match=r"--librispeech-dir .*LibriSpeech: has none of the folders"):
        make_index(corpus, tmp_path / "out")


def test_one_index_takes_the_place_of_the_other(corpus, tmp_path):
    def names():
        return sorted(path.name for path in (tmp_path / "out" / "cv").iterdir())

    make_index(corpus, tmp_path / "out", "--generate", tmp_path / "lm")
    assert names() == ["mix.json", "s1.json", "s2.json"]
    make_index(corpus, tmp_path / "out")
    assert names() == ["mixtures.json"]
    make_index(corpus, tmp_path / "out", "--generate", tmp_path / "lm")
    assert names() == ["mix.json", "s1.json", "s2.json"]


def edit(file, change):
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


FAULTS = {
    "cut": (lambda f: f.write_text(f.read_text()[:-9]), "cannot be read as JSON"),
    "nested": (lambda f: f.write_text("[" * 100_000 + "]" * 100_000), "cannot be read as JSON"),
    "list": (lambda f: f.write_text("[]"), "is not an index of mixtures"),
    "version": (lambda f: edit(f, lambda c: c.update(version=2)), "version 2, but this program knows 1"),
    "task": (lambda f: edit(f, lambda c: c.update(task="sing")), "malformed"),
    "mode": (lambda f: edit(f, lambda c: c.pop("mode")), "malformed"),
    "speech": (
        lambda f: edit(f, lambda c: c["speech"].pop()),
        "mixture 1, c_a, has the speech row 2, not one of 0 to 1",
    ),
    "noise": (lambda f: edit(f, lambda c: c["noise"].pop()), "mixture 1, c_a, has the noise row 1, not one of 0 to 0"),
    "no noise": (lambda f: edit(f, lambda c: c.update(noise=[])), "malformed"),
    "gain": (
        lambda f: edit(f, lambda c: c["mixtures"][0][1][0].pop()),
        "mixture 0, a_b, has speech .*not .row, gain. of each",
    ),
    "empty": (lambda f: edit(f, lambda c: c["mixtures"].clear()), "malformed"),
    "length": (
        lambda f: edit(f, lambda c: c["speech"][0].__setitem__(1, 0)),
        "row 0 of speech is .*, 0., not a path and its 1",
    ),
    "rate": (lambda f: edit(f, lambda c: c.update(sample_rate=16000)), "16000 Hz, not 8000; run preprocess.py with"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_index(corpus, tmp_path, fault):
    folder = make_index(corpus, tmp_path / "out", task="sep_noisy") / "cv"
    damage, message = FAULTS[fault]
    damage(folder / "mixtures.json")
    with pytest.raises(UserError, match=message) as error:
        load_index(folder, 8000)
    assert str(folder / "mixtures.json") in str(error.value) and "\n" not in str(error.value)


def test_a_corpus_that_has_moved(corpus, tmp_path):
    folder = make_index(corpus, tmp_path / "out") / "cv"
    (corpus / "LibriSpeech").rename(corpus / "elsewhere")
    with pytest.raises(UserError, match=r"LibriSpeech/dev-clean/.*flac: no such file"):
        load_index(folder, 8000)


def test_a_file_that_has_changed(corpus, tmp_path):
    fly = load_index(make_index(corpus, tmp_path / "out") / "cv", 8000)
    soundfile.write(corpus / "LibriSpeech" / "dev-clean" / "b.flac", np.full(30000, 0.1), 16000)
    with pytest.raises(UserError, match=r"b.flac: 30000 samples of 16000 Hz, expected 41234 of 16000 Hz"):
        fly.read(0, 0, 100)


NETWORK = ["--N", "16", "--L", "8", "--B", "8", "--H", "12", "--X", "2", "--R", "1"]


def train_on(index, folder, *options):
    """Losses of training and validation in two epochs."""
    given = ["--train_dir", index, "--valid_dir", index, "--save_folder", folder, *options, *NETWORK]
    train.main([*map(str, given), "--segment=0.5", "--lr=2e-3", "--epochs=2", "--device_target=CPU"])
    history = read_checkpoint(folder / "last.ckpt").progress["history"]
    return [[epoch["train_loss"], epoch["valid_loss"]] for epoch in history]


@pytest.mark.slow
def test_training_on_the_fly_and_from_the_generated_tree_is_the_same(corpus, tmp_path):
    make_index(corpus, tmp_path / "fly", task="sep_noisy")
    make_index(corpus, tmp_path / "tree", "--generate", tmp_path / "lm", task="sep_noisy")
    fly, tree = (train_on(tmp_path / name / "cv", tmp_path / f"run {name}") for name in ("fly", "tree"))
    np.testing.assert_allclose(fly, tree, rtol=0, atol=0.005)  # dB; the tree is rounded to 16 bits
    assert fly[1][0] < fly[0][0]


@pytest.mark.slow
@pytest.mark.parametrize("task", ["enh_single", "enh_both"])
def test_enhancement_from_the_index_to_the_evaluation(corpus, tmp_path, task, capsys):
    folder = make_index(corpus, tmp_path / "fly", task=task) / "cv"
    with pytest.raises(UserError, match="1 sources in a mixture, but --C is 2"):
        train_on(folder, tmp_path / "run")
    losses = train_on(folder, tmp_path / "run", "--C", 1)
    assert losses[1][0] < losses[0][0]
    evaluate.main(
        [
            f"--model_path={tmp_path / 'run' / 'last.ckpt'}",
            f"--data_dir={folder}",
            f"--out_dir={tmp_path / 'results'}",
            "--device_target=CPU",
        ]
    )
    assert "Average SISNR improvement: " in capsys.readouterr().out
    with open(tmp_path / "results" / "results.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["permutation"] for row in rows] == ["1", "1"]
    signals = whole(load_index(folder, 8000))["a_b"]
    estimate = paper_si_snr(signals[1], signals[0])
    assert float(rows[0]["si_snr_mixture"]) == pytest.approx(estimate, abs=1e-3)
