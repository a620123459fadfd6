"""evaluate.py on small test sets: a network that is known to the sample, and a real one."""

import csv
import json
from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest
import soundfile
from test_metrics import paper_si_snr

import evaluate
from checkpoint import write_checkpoint
from config import NetworkOptions
from data import load_index
from errors import UserError
from model import ConvTasNet

RATE = 8000
LENGTHS = [3001, 4000, 2003, 3999, 2500]


class RotatingNet:
    """Knows the sources, and gives them in cyclic order with a known error."""

    def __init__(self, speakers):
        self.options, self.sample_rate = SimpleNamespace(C=speakers, hop=4, gap=100), RATE
        self.known = {}  # from a mixture's second sample to its sources

    def trainable_params(self):
        return []

    def __call__(self, mixture, lengths, starts):
        estimates = np.zeros((mixture.shape[0], self.options.C, mixture.shape[1]), np.float32)
        rows = zip(estimates, mixture.asnumpy(), lengths.asnumpy(), starts.asnumpy(), strict=True)
        for estimate, samples, row_lengths, row_starts in rows:
            for length, start in zip(row_lengths, row_starts, strict=True):
                if length:
                    estimate[:, start : start + length] = self.known[float(samples[start + 1])]
        return ms.Tensor(estimates)


def write_set(folder, speakers, lengths=LENGTHS, silent=()):
    """An index of noise; `silent` has pairs of an utterance and a source. Returns the sources [C, T] of each."""
    random = np.random.default_rng(speakers)
    rows = {name: [] for name in ["mix", *(f"s{number + 1}" for number in range(speakers))]}
    everything = []
    for utterance, length in enumerate(lengths):
        sources = 0.1 * random.normal(size=(speakers, length)).astype(np.float32)
        for source in range(speakers):
            if (utterance, source) in silent:
                sources[source] = 0
        noise = 0.05 * random.normal(size=length).astype(np.float32)
        for name, samples in zip(rows, [sources.sum(0) + noise, *sources], strict=True):
            (folder / name).mkdir(parents=True, exist_ok=True)
            path = folder / name / f"utterance{utterance}.wav"
            soundfile.write(path, samples, RATE, subtype="FLOAT")
            rows[name].append([str(path), length])
        everything.append(sources)
    for name, entries in rows.items():
        (folder / f"{name}.json").write_text(json.dumps(entries))
    return everything


def rotating_net(folder, everything):
    """The network for this set: estimate c + 1 is source c and some of source c + 1."""
    net = RotatingNet(len(everything[0]))
    for utterance, sources in enumerate(everything):
        mixture, _ = soundfile.read(folder / "mix" / f"utterance{utterance}.wav", dtype="float32")
        leaky = sources + 0.1 * np.roll(sources, 1, axis=0) + 0.01
        net.known[float(mixture[1])] = np.roll(leaky, 1, axis=0)
    return net


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.ckpt"
    options = NetworkOptions(N=16, L=8, B=8, H=8, X=2, R=1, C=2)
    write_checkpoint(str(path), ConvTasNet(options, RATE))
    return str(path)


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def run_main(tmp_path, *options):
    evaluate.main([*map(str, options), "--csv", str(tmp_path / "results.csv"), "--device_target", "CPU"])
    return rows_of(tmp_path / "results.csv")


@pytest.mark.parametrize("speakers", [2, 3, 4])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_values_and_permutation_of_estimates_in_cyclic_order(tmp_path, monkeypatch, capsys, speakers, batch_size):
    everything = write_set(tmp_path, speakers)
    monkeypatch.setattr(evaluate, "load_model", lambda path: rotating_net(tmp_path, everything))
    rows = run_main(tmp_path, "--model_path", "any", "--data_dir", tmp_path, "--batch_size", batch_size)

    assert [row["name"] for row in rows] == [f"utterance{number}" for number in range(len(LENGTHS))]
    improvements = []
    for utterance, (row, sources) in enumerate(zip(rows, everything, strict=True)):
        mixture, _ = soundfile.read(tmp_path / "mix" / f"utterance{utterance}.wav", dtype="float32")
        estimates = sources + 0.1 * np.roll(sources, 1, axis=0)
        before = np.mean([paper_si_snr(source, mixture) for source in sources.astype(float)])
        after = np.mean([paper_si_snr(*pair) for pair in zip(sources.astype(float), estimates, strict=True)])
        improvements.append(after - before)
        assert row["permutation"] == " ".join(map(str, [*range(2, speakers + 1), 1]))
        assert float(row["seconds"]) == pytest.approx(LENGTHS[utterance] / RATE, abs=1e-4)
        assert float(row["si_snr_mixture"]) == pytest.approx(before, abs=2e-3)
        assert float(row["si_snr"]) == pytest.approx(after, abs=2e-3)
        assert float(row["si_snr_improvement"]) == pytest.approx(after - before, abs=2e-3)
        assert "sdr" not in row
    assert capsys.readouterr().out.splitlines()[-1] == f"Average SISNR improvement: {np.mean(improvements):.2f}"


def test_enhancement_of_one_speaker_with_sdr(tmp_path, monkeypatch, capsys):
    everything = write_set(tmp_path, speakers=1)
    net = rotating_net(tmp_path, everything)
    monkeypatch.setattr(evaluate, "load_model", lambda path: net)
    rows = run_main(tmp_path, "--model_path", "any", "--data_dir", tmp_path, "--cal_sdr", 1)
    assert all(row["permutation"] == "1" for row in rows)
    for row in rows:
        assert float(row["sdr_improvement"]) == pytest.approx(float(row["sdr"]) - float(row["sdr_mixture"]), abs=2e-4)
    mean = np.mean([float(row["sdr_improvement"]) for row in rows])
    *_, sdr_line, si_snr_line = capsys.readouterr().out.splitlines()
    assert sdr_line == f"Average SDR improvement: {mean:.2f}"
    assert si_snr_line.startswith("Average SISNR improvement: ")


def test_silent_source_is_left_out_and_said(tmp_path, monkeypatch, capsys):
    everything = write_set(tmp_path, speakers=2, silent=[(1, 0), (3, 1)])
    monkeypatch.setattr(evaluate, "load_model", lambda path: rotating_net(tmp_path, everything))
    rows = run_main(tmp_path, "--model_path", "any", "--data_dir", tmp_path)
    out = capsys.readouterr().out.splitlines()
    assert [row["si_snr"] == "" for row in rows] == [False, True, False, True, False]
    assert [line.split(":")[0] for line in out if "left out" in line] == ["utterance1", "utterance3"]
    mean = np.mean([float(row["si_snr_improvement"]) for row in rows if row["si_snr"]])
    assert out[-1] == f"Average SISNR improvement: {mean:.2f}"


def test_only_silence_is_an_error(tmp_path, monkeypatch):
    everything = write_set(tmp_path, speakers=2, lengths=[2000], silent=[(0, 0)])
    monkeypatch.setattr(evaluate, "load_model", lambda path: rotating_net(tmp_path, everything))
    with pytest.raises(UserError, match="every utterance has a silent"):
        run_main(tmp_path, "--model_path", "any", "--data_dir", tmp_path)
    assert not (tmp_path / "results.csv").exists()


def test_silent_estimate_counts_as_a_hundred_decibels_of_error():
    sources = np.random.default_rng(1).normal(size=(2, 3000))
    row = evaluate.measure(sources.sum(0), sources, np.stack([sources[0], 0 * sources[1]]), cal_sdr=True)
    assert row["si_snr"] == pytest.approx(0, abs=1e-4)  # 100 and -100
    assert np.isfinite(row["sdr_improvement"])


def test_estimates_that_are_not_finite_are_an_error():
    sources = np.ones((2, 100))
    with pytest.raises(UserError, match="NaN"):
        evaluate.measure(sources.sum(0), sources, np.full((2, 100), np.nan))


@pytest.mark.slow
def test_real_network_scores_the_same_in_any_batch(tmp_path, checkpoint):
    write_set(tmp_path, speakers=2, lengths=[1501, 2003, 1999])
    net = evaluate.load_model(checkpoint)
    index = load_index(str(tmp_path), RATE)
    alone, together = (evaluate.evaluate(net, index, batch_size) for batch_size in (1, 3))
    for one, other in zip(alone, together, strict=True):
        assert one["permutation"] == other["permutation"]
        assert one["si_snr_improvement"] == pytest.approx(other["si_snr_improvement"], abs=1e-3)


def test_real_network_from_its_file(tmp_path, checkpoint, capsys):
    write_set(tmp_path, speakers=2, lengths=[2003, 2003])
    rows = run_main(tmp_path, "--model_path", checkpoint, "--data_dir", tmp_path)
    out = capsys.readouterr().out.splitlines()
    assert "CPU" in out[0] and checkpoint in out[0]
    mean = np.mean([float(row["si_snr_improvement"]) for row in rows])
    assert float(out[-1].removeprefix("Average SISNR improvement: ")) == pytest.approx(mean, abs=0.006)


def test_other_number_of_speakers_is_an_error(tmp_path, checkpoint):
    write_set(tmp_path, speakers=3, lengths=[2000])
    with pytest.raises(UserError, match=r"3 sources in a mixture, but .* separates 2"):
        run_main(tmp_path, "--model_path", checkpoint, "--data_dir", tmp_path)


@pytest.mark.parametrize(
    ("option", "value"), [("--batch_size", "0"), ("--num_workers", "0"), ("--csv", "no/such/r.csv"), ("--csv", ".")]
)
def test_bad_values_are_errors_before_any_work(tmp_path, monkeypatch, option, value):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=option):
        evaluate.main(["--model_path", "none.ckpt", "--data_dir", "none", option, value])


def test_missing_files_are_errors(tmp_path, checkpoint):
    with pytest.raises(UserError, match=r"none\.ckpt"):
        run_main(tmp_path, "--model_path", tmp_path / "none.ckpt", "--data_dir", tmp_path)
    with pytest.raises(UserError, match="nowhere"):
        run_main(tmp_path, "--model_path", checkpoint, "--data_dir", tmp_path / "nowhere")
