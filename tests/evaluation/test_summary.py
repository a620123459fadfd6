"""evaluation/summary.py: the numbers of summary.json against numpy, and how values that are missing are counted."""

import json

import numpy as np
import pytest

from evaluation.metrics import columns
from evaluation.summary import BANDS, in_digits, print_summary, statistics_of, summarize, write_csv, write_summary

random = np.random.default_rng(0)
METRICS = ["si_snr", "pesq"]


def make_rows(count=30):
    """Rows of two sources, of which the first is silent and the second has no PESQ."""
    rows = []
    for number in range(count):
        row = dict.fromkeys(columns(METRICS, 2))
        if number:
            row["permutation"] = "1 2"
            for metric in METRICS:
                before, after = random.uniform(-8, 8, 2), random.normal(8, 3, 2)  # [C]
                for ending, values in (("_mixture", before), ("", after), ("_improvement", after - before)):
                    row[f"{metric}{ending}"] = float(values.mean())
                    row |= {f"{metric}{ending}_{source + 1}": float(value) for source, value in enumerate(values)}
        if number == 1:
            row |= {key: None for key in row if key.startswith("pesq")}
        rows.append({"name": str(number), "seconds": 1.5, "sexes": [None, "FF", "FM", "MM"][number % 4]} | row)
    return rows


def expected(values):
    return {
        "mean": pytest.approx(np.mean(values)),
        "median": pytest.approx(np.median(values)),
        "standard_error": pytest.approx(np.std(values, ddof=1) / np.sqrt(len(values))),
        "count": len(values),
    }


def test_statistics_of_all_by_sexes_and_by_bands():
    rows = make_rows()
    summary = summarize(rows, METRICS, {"device": "any"})
    assert (summary["facts"], summary["mixtures"], summary["left_out"]) == ({"device": "any"}, 30, 1)
    scored = rows[1:]
    for metric, measured in (("si_snr", scored), ("pesq", rows[2:])):
        for kind, name in (
            ("mixture", f"{metric}_mixture"),
            ("estimate", metric),
            ("improvement", f"{metric}_improvement"),
        ):
            assert summary["all"][metric][kind] == expected([row[name] for row in measured])
            for sexes in ("FF", "FM", "MM"):
                values = [row[name] for row in measured if row["sexes"] == sexes]
                assert summary["by_sexes"][sexes][metric][kind] == expected(values)
            for band, (low, high) in zip(BANDS, [(-99, -5), (-5, -2), (-2, 0), (0, 2), (2, 5), (5, 99)], strict=True):
                values = [
                    row[f"{name}_{source}"]
                    for row in measured
                    for source in (1, 2)
                    if low <= row[f"si_snr_mixture_{source}"] < high
                ]
                assert summary["by_mixture_si_snr"][band][metric][kind] == expected(values)
    assert summary["by_sexes"].keys() == {"FF", "FM", "MM"}


def test_few_values_have_no_error():
    assert statistics_of([None, 2.0]) == {"mean": 2.0, "median": 2.0, "standard_error": None, "count": 1}
    assert statistics_of([None]) == {"mean": None, "median": None, "standard_error": None, "count": 0}


def test_one_utterance_of_unknown_speakers(capsys):
    row = {name: 1.25 for name in columns(METRICS, 2)} | {"permutation": "2 1", "name": "a"}
    summary = summarize([row], METRICS, {})
    assert summary["by_sexes"] == {}
    assert summary["by_mixture_si_snr"]["0 to 2"]["pesq"]["estimate"]["count"] == 2
    assert summary["by_mixture_si_snr"]["above 5"]["pesq"]["estimate"]["mean"] is None
    print_summary(summary)
    assert [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines()[2:]] == [
        [" SI-SNR, dB ", " 1.25    ", " 1.25     ", " 1.25        "],
        [" PESQ       ", " 1.25    ", " 1.25     ", " 1.25        "],
    ]


def test_what_rounds_to_zero_has_no_sign():
    values = [-0.004, 0.004, -0.006, -1.5, None]
    assert [in_digits(value, 2) for value in values] == ["0.00", "0.00", "-0.01", "-1.50", "none"]


def test_metric_without_any_value_is_told(capsys):
    rows = make_rows(2)
    print_summary(summarize(rows, METRICS, {}))
    *_, pesq, missing = capsys.readouterr().out.splitlines()
    assert pesq.split("|")[2:-1] == [" none    ", " none     ", " none        "]
    assert missing.startswith("PESQ: could not be computed for 1 of 1 mixtures")


def test_files_are_read_again_as_they_were(tmp_path):
    rows = make_rows(3)
    write_csv(tmp_path / "results.csv", rows)
    header, silent, *others = (tmp_path / "results.csv").read_text().splitlines()
    assert header.startswith("name,seconds,sexes,permutation,si_snr_mixture,si_snr,si_snr_improvement,pesq_mixture,")
    assert silent == "0,1.5000," + "," * (len(rows[0]) - 3)
    assert others[1].split(",")[4] == f"{rows[2]['si_snr_mixture']:.4f}"
    summary = summarize(rows, METRICS, {})
    write_summary(tmp_path / "summary.json", summary)
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
