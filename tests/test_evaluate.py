"""evaluate.py on small test sets: a network that is known to the sample, and a real one."""

import base64
import csv
import hashlib
import io
import json
import sys
from pathlib import Path

import fast_bss_eval
import loky
import mir_eval
import numpy as np
import pystoi
import pytest
import soundfile
from formulas import paper_si_snr
from known_networks import LENGTHS, RATE, FilteringNet, rotating_net, write_set
from pages import Page
from small_corpus import make_index

import evaluate
from common.errors import UserError
from corpus.loading import load_index
from evaluation import report
from evaluation.report import write_report
from model import ConvTasNet
from network.checkpoint import write_checkpoint
from network.options import NetworkOptions

try:
    import pesq
except ImportError:  # of requirements/extras.txt
    pesq = None

CHECKPOINT = __file__  # a file for its checksum, where the network is another


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.ckpt"
    options = NetworkOptions(N=16, L=8, B=8, H=8, X=2, R=1, C=2)
    write_checkpoint(str(path), ConvTasNet(options, RATE))
    return str(path)


@pytest.fixture(autouse=True)
def without_page(monkeypatch):
    """The page takes seconds to draw; only the tests that look at it have it drawn."""
    monkeypatch.setattr(report, "write_report", lambda *arguments: None)


def stand_in(monkeypatch, net):
    """Have evaluate.py separate with this network."""
    monkeypatch.setattr(evaluate, "load_to_separate", lambda *arguments: (net, "CPU"))


def run_main(tmp_path, *options):
    """The rows of results.csv, and summary.json."""
    out_dir = tmp_path / "new" / "results"
    evaluate.main([*map(str, options), "--out_dir", str(out_dir), "--device_target", "CPU"])
    with open(out_dir / "results.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return rows, json.loads((out_dir / "summary.json").read_text())


@pytest.mark.parametrize("speakers", [2, 3, 4])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_values_and_permutation_of_estimates_in_cyclic_order(tmp_path, monkeypatch, capsys, speakers, batch_size):
    everything = write_set(tmp_path, speakers)
    stand_in(monkeypatch, rotating_net(tmp_path, everything))
    given = ["--model_path", CHECKPOINT, "--data_dir", tmp_path, "--batch_size", batch_size, "--metrics", "si_snr"]
    rows, _ = run_main(tmp_path, *given)

    assert [row["name"] for row in rows] == [f"mixture{number}" for number in range(len(LENGTHS))]
    improvements = []
    for number, (row, sources) in enumerate(zip(rows, everything, strict=True)):
        mixture, _ = soundfile.read(tmp_path / "mix" / f"mixture{number}.wav", dtype="float32")
        estimates = sources + 0.1 * np.roll(sources, 1, axis=0)
        before = np.mean([paper_si_snr(source, mixture) for source in sources.astype(float)])
        after = np.mean([paper_si_snr(*pair) for pair in zip(sources.astype(float), estimates, strict=True)])
        improvements.append(after - before)
        assert row["permutation"] == " ".join(map(str, [*range(2, speakers + 1), 1]))
        assert float(row["seconds"]) == pytest.approx(LENGTHS[number] / RATE, abs=1e-4)
        assert float(row["si_snr_mixture"]) == pytest.approx(before, abs=2e-3)
        assert float(row["si_snr"]) == pytest.approx(after, abs=2e-3)
        assert float(row["si_snr_improvement"]) == pytest.approx(after - before, abs=2e-3)
        assert "sdr" not in row
    assert capsys.readouterr().out.splitlines()[-1] == f"Average SISNR improvement: {np.mean(improvements):.2f}"


def test_enhancement_of_one_speaker_with_sdr(tmp_path, monkeypatch, capsys):
    everything = write_set(tmp_path, speakers=1)
    net = rotating_net(tmp_path, everything)
    stand_in(monkeypatch, net)
    rows, summary = run_main(tmp_path, "--model_path", CHECKPOINT, "--data_dir", tmp_path)
    assert all(row["permutation"] == "1" for row in rows)
    for row in rows:
        assert float(row["sdr_improvement"]) == pytest.approx(float(row["sdr"]) - float(row["sdr_mixture"]), abs=2e-4)
        assert row["sdr_1"] == row["sdr"]
    improvements = [float(row["sdr_improvement"]) for row in rows]
    mean, error = np.mean(improvements), np.std(improvements, ddof=1) / np.sqrt(len(rows))
    *_, si_snr_line, sdr_line, _, last = capsys.readouterr().out.splitlines()
    assert sdr_line.startswith("| SDR, dB ") and sdr_line.endswith(f"| {mean:.2f} +- {error:.2f} |")
    assert si_snr_line.startswith("| SI-SNR, dB ") and last.startswith("Average SISNR improvement: ")
    assert summary["all"]["sdr"]["improvement"]["mean"] == pytest.approx(mean, abs=1e-4)
    assert summary["facts"]["metrics"] == ["si_snr", "sdr"] and summary["facts"]["device"] == "CPU"
    assert summary["facts"]["checkpoint_sha256"] == hashlib.sha256(Path(CHECKPOINT).read_bytes()).hexdigest()


def test_silent_source_is_left_out_which_is_printed(tmp_path, monkeypatch, capsys):
    everything = write_set(tmp_path, speakers=2, silent=[(1, 0), (3, 1)])
    stand_in(monkeypatch, rotating_net(tmp_path, everything))
    rows, _ = run_main(tmp_path, "--model_path", CHECKPOINT, "--data_dir", tmp_path)
    out = capsys.readouterr().out.splitlines()
    assert [row["si_snr"] == "" for row in rows] == [False, True, False, True, False]
    assert [line.split(":")[0] for line in out if "left out" in line] == ["mixture1", "mixture3"]
    mean = np.mean([float(row["si_snr_improvement"]) for row in rows if row["si_snr"]])
    assert out[-1] == f"Average SISNR improvement: {mean:.2f}"


def test_only_silence_is_an_error(tmp_path, monkeypatch):
    everything = write_set(tmp_path, speakers=2, lengths=[2000], silent=[(0, 0)])
    stand_in(monkeypatch, rotating_net(tmp_path, everything))
    with pytest.raises(UserError, match="every mixture is silent or has a silent source"):
        run_main(tmp_path, "--model_path", CHECKPOINT, "--data_dir", tmp_path)
    assert not list(tmp_path.rglob("results.csv"))


def values_of_libraries(mixture, sources, estimates, rate):
    """{metric: values [C]} of estimates that are in the order of the sources, and of the mixture, as NAME_mixture."""
    values = {}
    for ending, signals in (("", estimates), ("_mixture", np.stack([mixture] * len(sources)))):
        pairs = list(zip(sources.astype(float), signals.astype(float), strict=True))
        # Its numpy part by name: the function above both parts fails where PyTorch is not installed.
        si_sdr = [fast_bss_eval.numpy.si_sdr(*(each[np.newaxis] for each in pair), zero_mean=True) for pair in pairs]
        values[f"si_snr{ending}"] = np.concatenate(si_sdr)
        values[f"sdr{ending}"] = mir_eval.separation.bss_eval_sources(sources, signals, compute_permutation=False)[0]
        values[f"stoi{ending}"] = np.array([pystoi.stoi(*pair, rate) for pair in pairs])
        if pesq:
            band = {8000: "nb", 16000: "wb"}[rate]
            values[f"pesq{ending}"] = np.array([pesq.pesq(rate, *pair, band) for pair in pairs])
    return values


@pytest.mark.filterwarnings("ignore:mir_eval:FutureWarning")
@pytest.mark.parametrize(
    ("task", "mode", "rate"),
    [
        *(("sep_clean", mode, rate) for mode in ("min", "max") for rate in (8000, 16000)),
        *((task, mode, 8000) for task in ("sep_noisy", "enh_single", "enh_both") for mode in ("min", "max")),
    ],
)
def test_values_are_those_of_the_libraries_for_every_task(corpus, monkeypatch, task, mode, rate):
    folder = make_index(corpus, corpus / "index", "--mode", mode, "--sample-rate", rate, task=task) / "cv"
    index = load_index(str(folder), rate)
    net = FilteringNet(index.sources, rate)
    stand_in(monkeypatch, net)
    metrics = ["si_snr", "sdr", "stoi", *(["pesq"] if pesq else [])]
    rows, _ = run_main(corpus, "--model_path", CHECKPOINT, "--data_dir", folder, "--metrics", *metrics)
    for number, row in enumerate(rows):
        mixture, *sources = index.read(number, 0, int(index.lengths[number]))
        if mode == "max" and task.startswith("sep"):
            assert any(np.all(source[-50:] == 0) for source in sources)
        order = [int(estimate) - 1 for estimate in row["permutation"].split()]
        expected = values_of_libraries(mixture, np.array(sources), net.separate(mixture)[order], rate)
        for metric in metrics:
            for name in (metric, f"{metric}_mixture"):
                assert float(row[name]) == pytest.approx(expected[name].mean(), abs=1e-3)
                for source, value in enumerate(expected[name]):
                    assert float(row[f"{name}_{source + 1}"]) == pytest.approx(value, abs=1e-3)
            improvement = np.mean(expected[metric] - expected[f"{metric}_mixture"])
            assert float(row[f"{metric}_improvement"]) == pytest.approx(improvement, abs=2e-3)


@pytest.mark.parametrize("metric", ["stoi", *(["pesq"] if pesq else [])])
def test_metric_that_cannot_be_computed_leaves_its_cells_empty(tmp_path, monkeypatch, capsys, metric):
    everything = write_set(tmp_path, speakers=2, lengths=[8001, 1201, 16003])
    stand_in(monkeypatch, rotating_net(tmp_path, everything))
    rows, summary = run_main(tmp_path, "--model_path", CHECKPOINT, "--data_dir", tmp_path, "--metrics", metric)
    assert [row[metric] == "" for row in rows] == [row[f"{metric}_2"] == "" for row in rows] == [False, True, False]
    assert all(row["si_snr"] for row in rows)
    assert summary["all"][metric]["improvement"]["count"] == 2
    assert "could not be computed for 1 of 3 mixtures" in capsys.readouterr().out


def test_metric_that_ends_its_process_costs_its_cells_alone(tmp_path, monkeypatch, capsys):
    """A stand-in for pystoi, whose fault ends the process, as a fault of a library in C does."""
    everything = write_set(tmp_path, speakers=2, lengths=[3001, 4000, 2003, 3999, 2500])
    stand_in(monkeypatch, rotating_net(tmp_path, everything))
    library = "import os\ndef stoi(source, *_):\n    return 0.5 if len(source) not in (4000, 2500) else os.abort()\n"
    (tmp_path / "pystoi.py").write_text(library)
    loky.get_reusable_executor().shutdown(kill_workers=True)  # which have imported pystoi itself
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pystoi", raising=False)
    given = ["--model_path", CHECKPOINT, "--data_dir", tmp_path]
    rows, summary = run_main(tmp_path, *given, "--metrics", "sdr", "stoi")
    loky.get_reusable_executor().shutdown(kill_workers=True)
    assert [row["stoi"] for row in rows] == ["0.5000", "", "0.5000", "0.5000", ""]
    assert all(row["si_snr"] and row["sdr"] for row in rows)
    assert summary["all"]["stoi"]["estimate"]["count"] == 3 and summary["left_out"] == 0
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if "without STOI: its process ended without a word" in line] != []
    assert "could not be computed for 2 of 5 mixtures" in out


def test_metric_whose_package_is_missing_is_an_error(tmp_path, monkeypatch, checkpoint):
    write_set(tmp_path, speakers=2, lengths=[2000])
    monkeypatch.setitem(sys.modules, "pystoi", None)
    with pytest.raises(UserError, match="--metrics stoi: needs pystoi; pip install pystoi"):
        run_main(tmp_path, "--model_path", checkpoint, "--data_dir", tmp_path, "--metrics", "stoi")


def test_pesq_at_another_rate_is_an_error(tmp_path, monkeypatch):
    pytest.importorskip("pesq")
    stand_in(monkeypatch, FilteringNet(2, 11025))
    with pytest.raises(UserError, match=r"--metrics pesq: is defined at 8000 and 16000 Hz, but .* 11025"):
        run_main(tmp_path, "--model_path", CHECKPOINT, "--data_dir", tmp_path, "--metrics", "pesq")


def test_estimates_that_are_not_finite_are_an_error(tmp_path, monkeypatch):
    everything = write_set(tmp_path, speakers=2, lengths=[2000, 3000])
    everything[1][0, 5] = np.nan
    stand_in(monkeypatch, rotating_net(tmp_path, everything))
    with pytest.raises(UserError, match="NaN"):
        run_main(tmp_path, "--model_path", CHECKPOINT, "--data_dir", tmp_path)


def test_sexes_of_the_speakers(tmp_path, monkeypatch):
    names = ["19-198-0001_22-1-0002", "22-1-0003_23-2-0001", "other"]
    everything = write_set(tmp_path, speakers=2, lengths=[3001, 4000, 2003], names=names)
    stand_in(monkeypatch, rotating_net(tmp_path, everything))
    (tmp_path / "SPEAKERS.TXT").write_text(
        ";ID |SEX|\n19 | F | dev | 1 | A\n22 | F | dev | 2 | B\n23 | M | x | 1 | C\n"
    )
    speakers = ["--speakers_file", tmp_path / "SPEAKERS.TXT"]
    rows, summary = run_main(tmp_path, "--model_path", CHECKPOINT, "--data_dir", tmp_path, *speakers)
    assert [row["sexes"] for row in rows] == ["FF", "FM", ""]
    assert summary["by_sexes"].keys() == {"FF", "FM"}
    assert summary["by_sexes"]["FM"]["si_snr"]["estimate"]["mean"] == pytest.approx(float(rows[1]["si_snr"]), abs=1e-4)


def test_page_has_the_numbers_and_the_signals_of_the_best_the_median_and_the_worst(tmp_path, monkeypatch, capsys):
    names = ["good", "<b>bad", "middle", "mute"]
    everything = write_set(tmp_path, speakers=2, lengths=[3001, 4000, 2003, 2500], silent=[(3, 0)], names=names)
    net = rotating_net(tmp_path, everything)
    for estimates, noise in zip(net.known.values(), (0.001, 0.1, 0.01, 0), strict=True):
        estimates += noise * np.random.default_rng(0).normal(size=estimates.shape)
    stand_in(monkeypatch, net)
    monkeypatch.setattr(report, "write_report", write_report)
    rows, summary = run_main(tmp_path, "--model_path", CHECKPOINT, "--data_dir", tmp_path)
    file = tmp_path / "new" / "results" / "report.html"
    assert any(line.startswith(f"{file}: ") for line in capsys.readouterr().out.splitlines())
    page = Page(file.read_text(encoding="utf-8"))
    assert f"SI-SNR improvement+{summary['all']['si_snr']['improvement']['mean']:.2f} dB" in page.text
    assert "1 left out of the averages" in page.text and "mute" not in page.text
    players = iter(page.all("audio"))
    for kind, number in (("Best", 0), ("Median", 2), ("Worst", 1)):
        assert f"{kind}: +{float(rows[number]['si_snr_improvement']):.2f} dB{names[number]} · " in page.text
        sources = everything[number]
        mixture, _ = soundfile.read(tmp_path / "mix" / f"{names[number]}.wav", dtype="float32")
        estimates = np.roll(list(net.known.values())[number], -1, axis=0)
        for expected in (mixture, sources[0], estimates[0], sources[1], estimates[1]):
            heard, rate = soundfile.read(io.BytesIO(base64.b64decode(next(players)["src"].split(",")[1])))
            assert rate == RATE and len(heard) == len(expected)
            assert np.corrcoef(heard, expected)[0, 1] > 0.9999
    assert next(players, None) is None


def test_real_network_from_its_file(tmp_path, checkpoint, capsys):
    write_set(tmp_path, speakers=2, lengths=[2003, 2003])
    rows, _ = run_main(tmp_path, "--model_path", checkpoint, "--data_dir", tmp_path)
    out = capsys.readouterr().out.splitlines()
    assert "CPU" in out[0] and checkpoint in out[0]
    mean = np.mean([float(row["si_snr_improvement"]) for row in rows])
    assert float(out[-1].removeprefix("Average SISNR improvement: ")) == pytest.approx(mean, abs=0.006)


def test_other_number_of_speakers_is_an_error(tmp_path, checkpoint):
    write_set(tmp_path, speakers=3, lengths=[2000])
    with pytest.raises(UserError, match=r"3 sources in a mixture, but .* separates 2"):
        run_main(tmp_path, "--model_path", checkpoint, "--data_dir", tmp_path)


def test_missing_files_are_errors(tmp_path, checkpoint):
    with pytest.raises(UserError, match=r"none\.ckpt"):
        run_main(tmp_path, "--model_path", tmp_path / "none.ckpt", "--data_dir", tmp_path)
    with pytest.raises(UserError, match="nowhere"):
        run_main(tmp_path, "--model_path", checkpoint, "--data_dir", tmp_path / "nowhere")
