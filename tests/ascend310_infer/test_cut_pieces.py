"""ascend310_infer/cut_pieces.py, join_pieces.py: pieces cover every sample, and joined they are the mixture again."""

import json
from itertools import pairwise

import numpy as np
import pytest
import soundfile

from ascend310_infer import cut_pieces, join_pieces
from common.errors import UserError
from common.files import checksum
from corpus.loading import load_index
from network.options import NetworkOptions

LENGTHS = [5000, 900, 1000, 2222]


@pytest.fixture
def work(tmp_path):
    """A test set, a file that stands for an exported network of 2 x 1000 samples, and where the pieces go."""
    random = np.random.default_rng(0)
    index = {"mix": [], "s1": [], "s2": []}
    for number, length in enumerate(LENGTHS):
        sources = random.uniform(-0.4, 0.4, (2, length)).astype(np.float32)
        for name, samples in zip(index, [sources.sum(0), *sources], strict=True):
            path = tmp_path / f"{name}/{number}.wav"
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, samples, 8000, subtype="FLOAT")
            index[name].append([str(path), length])
    (tmp_path / "data").mkdir()
    for name, rows in index.items():
        (tmp_path / f"data/{name}.json").write_text(json.dumps(rows))
    (tmp_path / "net.onnx").write_text("a network")
    write_facts(tmp_path)
    return tmp_path


def write_facts(folder, **changes):
    facts = {
        "sha256": checksum(folder / "net.onnx"), "batch_size": 2, "length": 1000, "sample_rate": 8000, "speakers": 2,
        "network": vars(NetworkOptions(L=20)), "checkpoint": "best.ckpt", "checkpoint_sha256": "0",
    }  # fmt: skip
    (folder / "net.onnx.json").write_text(json.dumps(facts | changes))


def arguments(work):
    return ["--model_file", str(work / "net.onnx"), "--data_dir", str(work / "data"),
            "--pieces_dir", str(work / "pieces")]  # fmt: skip


def post_arguments(work):
    return [*arguments(work), "--estimates_dir", str(work / "estimates"), "--csv", str(work / "results.csv")]


def refused(script, argv):
    with pytest.raises(UserError) as error:
        script.main(argv)
    assert "\n" not in str(error.value)
    return str(error.value)


def separate(work, mixtures_to_estimates):
    """Stands for the C++ program."""
    (work / "estimates").mkdir()
    for path in sorted((work / "pieces").glob("*.bin")):
        estimates = mixtures_to_estimates(np.fromfile(path, np.float32).reshape(2, 1000))
        estimates.astype(np.float32).tofile(work / f"estimates/{path.stem}_0.bin")


def test_pieces_are_the_stretches_of_mixtures(work):
    cut_pieces.main(arguments(work))
    pieces = json.loads((work / "pieces/pieces.json").read_text())["pieces"]
    index = load_index(str(work / "data"), 8000)
    files = sorted((work / "pieces").glob("*.bin"))
    assert len(files) == -(-len(pieces) // 2)
    rows = np.concatenate([np.fromfile(path, np.float32).reshape(2, 1000) for path in files])
    covered = [np.zeros(length, int) for length in LENGTHS]
    for row, (mixture, start) in zip(rows, pieces, strict=False):
        samples = min(1000, LENGTHS[mixture] - start)
        np.testing.assert_array_equal(row[:samples], index.read(mixture, start, samples)[0])
        assert not row[samples:].any()
        assert start % 10 == 0
        covered[mixture][start : start + samples] += 1
    assert not rows[len(pieces) :].any()
    for count in covered:
        assert count.min() == 1
    assert all(a[1] + 1000 - b[1] >= 240 for a, b in pairwise(pieces) if a[0] == b[0])


def test_joined_pieces_are_the_mixtures_again(work, capfd):
    cut_pieces.main(arguments(work))
    index = load_index(str(work / "data"), 8000)
    pieces = json.loads((work / "pieces/pieces.json").read_text())["pieces"]
    numbers = iter(range(100))

    def true_sources_in_any_order(mixtures):
        """The sources of each piece, exchanged in every other one."""
        estimates = np.zeros((2, 2, 1000))
        for estimate in estimates:
            if (number := next(numbers)) < len(pieces):
                mixture, start = pieces[number]
                samples = min(1000, LENGTHS[mixture] - start)
                estimate[:, :samples] = index.read(mixture, start, samples)[1:][:: (-1) ** number]
        return 3 * estimates

    separate(work, true_sources_in_any_order)
    facts = {"batch_size": 2, "speakers": 2, "length": 1000}
    for name, audio, estimates in join_pieces.joined_mixtures(index, pieces, str(work / "estimates"), facts):
        sources = audio[1:] if np.abs(estimates[0] - audio[1]).max() < 0.1 else audio[:0:-1]
        np.testing.assert_allclose(estimates, sources, atol=1e-3, err_msg=name)
    join_pieces.main(post_arguments(work))
    *_, whole, last = capfd.readouterr().out.strip().splitlines()
    assert whole.startswith("Whole mixtures: not compared, since ") and "best.ckpt is not there" in whole
    assert float(last.removeprefix("Average SISNR improvement: ")) > 50
    assert len((work / "results.csv").read_text().splitlines()) == 1 + len(LENGTHS)


def test_mixtures_as_estimates_improve_nothing(work, capfd):
    cut_pieces.main(arguments(work))
    separate(work, lambda mixtures: np.stack([mixtures, mixtures], 1))
    join_pieces.main(post_arguments(work))
    assert (
        capfd.readouterr().out.strip().endswith(("Average SISNR improvement: 0.00", "Average SISNR improvement: -0.00"))
    )


def test_network_of_any_length_is_refused(work):
    write_facts(work, length=None)
    assert "is for any length" in refused(cut_pieces, arguments(work))


def test_network_of_more_speakers_is_refused(work):
    write_facts(work, speakers=3, network=vars(NetworkOptions(L=20, C=3)))
    assert "2 sources in a mixture" in refused(cut_pieces, arguments(work))


def test_facts_of_another_file_are_refused(work):
    (work / "net.onnx").write_text("another network")
    assert "net.onnx.json: is of another file" in refused(cut_pieces, arguments(work))
    (work / "net.onnx.json").write_text("{}")
    assert "net.onnx.json: damaged" in refused(cut_pieces, arguments(work))
    (work / "net.onnx.json").unlink()
    assert "net.onnx.json: cannot be read" in refused(cut_pieces, arguments(work))


def test_folder_that_is_not_empty_is_refused(work):
    cut_pieces.main(arguments(work))
    assert "pieces: is not empty" in refused(cut_pieces, arguments(work))


def test_missing_or_damaged_estimates_are_named(work):
    cut_pieces.main(arguments(work))
    assert "estimates/00000_0.bin: cannot be read (No such file" in refused(join_pieces, post_arguments(work))
    separate(work, lambda mixtures: mixtures)
    assert "estimates/00000_0.bin: 2000 numbers, expected [2, 2, 1000]" in refused(join_pieces, post_arguments(work))
    assert not (work / "results.csv").exists()


def test_pieces_of_another_network_are_refused(work):
    cut_pieces.main(arguments(work))
    write_facts(work, length=500)
    assert "pieces.json: has other length than" in refused(join_pieces, post_arguments(work))
    for damaged in ("[", "[]", "{}", '{"pieces": [1]}', "[" * 100000):
        (work / "pieces/pieces.json").write_text(damaged)
        assert "pieces.json: cannot be read" in refused(join_pieces, post_arguments(work))


@pytest.mark.parametrize("change", [lambda pieces: pieces[:-1], lambda pieces: [[9, 0], *pieces[1:]]])
def test_pieces_that_were_edited_are_refused(work, change):
    cut_pieces.main(arguments(work))
    separate(work, lambda mixtures: np.stack([mixtures, mixtures], axis=1))
    path = work / "pieces/pieces.json"
    description = json.loads(path.read_text())
    for pieces in (change(description["pieces"]), [[0, 1.5], *description["pieces"][1:]]):
        path.write_text(json.dumps(description | {"pieces": pieces}))
        assert "pieces.json: has other pieces than" in refused(join_pieces, post_arguments(work))
