"""evaluation/summary.py: the numbers of summary.json against numpy, and how values that are missing are counted."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from made_up import no_values

from evaluation.scores import Scores, Values
from evaluation.summary import BANDS, in_digits, print_summary, statistics_of, summarize, write_csv, write_summary

random = np.random.default_rng(0)
METRICS = ["si_snr", "pesq"]


def values_of(before, improvement):
    """Values [C] of a metric, of these in the mixture."""
    before, improvement = np.array(before, float), np.array(improvement, float)
    return Values(before, before + improvement, improvement)


def make_scores(count=30):
    """Scores of two sources; the first mixture is silent and the second has no PESQ."""
    scores = []
    for number in range(count):
        order, values = None, no_values(METRICS)
        if number:
            order = (0, 1)
            values = {metric: values_of(random.uniform(-8, 8, 2), random.normal(8, 3, 2)) for metric in METRICS}
        if number == 1:
            values |= no_values(["pesq"])
        scores.append(Scores(order, values, 1.5, str(number), [None, "FF", "FM", "MM"][number % 4]))
    return scores


def expected(values):
    return {
        "mean": pytest.approx(np.mean(values)),
        "median": pytest.approx(np.median(values)),
        "standard_error": pytest.approx(np.std(values, ddof=1) / np.sqrt(len(values))),
        "count": len(values),
    }


def test_statistics_of_all_by_sexes_and_by_bands():
    scores = make_scores()
    summary = summarize(scores, {"device": "any"})
    assert (summary["facts"], summary["mixtures"], summary["left_out"]) == ({"device": "any"}, 30, 1)
    for metric, measured in (("si_snr", scores[1:]), ("pesq", scores[2:])):
        for kind in ("mixture", "estimate", "improvement"):
            values = np.array([getattr(each.sources[metric], kind) for each in measured])  # [mixtures, C]
            assert summary["all"][metric][kind] == expected(values.mean(1))
            sexes = np.array([each.sexes or "" for each in measured])
            for letters in ("FF", "FM", "MM"):
                assert summary["by_sexes"][letters][metric][kind] == expected(values[sexes == letters].mean(1))
            inputs = np.array([each.sources["si_snr"].mixture for each in measured])
            for band, (low, high) in zip(BANDS, [(-99, -5), (-5, -2), (-2, 0), (0, 2), (2, 5), (5, 99)], strict=True):
                own = values[(low <= inputs) & (inputs < high)]
                assert summary["by_mixture_si_snr"][band][metric][kind] == expected(own)
    assert summary["by_sexes"].keys() == {"FF", "FM", "MM"}


def test_few_values_have_no_error():
    assert statistics_of([np.nan, 2.0]) == {"mean": 2.0, "median": 2.0, "standard_error": None, "count": 1}
    assert statistics_of([np.nan]) == {"mean": None, "median": None, "standard_error": None, "count": 0}


def test_one_mixture_of_unknown_speakers(capsys):
    values = dict.fromkeys(METRICS, Values(*np.full((3, 2), 1.25)))
    summary = summarize([Scores((1, 0), values, 1.0, "a")], {})
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


def test_metric_without_any_value_is_named(capsys):
    print_summary(summarize(make_scores(2), {}))
    *_, pesq, missing = capsys.readouterr().out.splitlines()
    assert pesq.split("|")[2:-1] == [" none    ", " none     ", " none        "]
    assert missing.startswith("PESQ: could not be computed for 1 of 1 mixtures")


CSV = """\
name,seconds,sexes,permutation,si_snr_mixture,si_snr,si_snr_improvement,pesq_mixture,pesq,pesq_improvement,\
si_snr_mixture_1,si_snr_1,si_snr_improvement_1,pesq_mixture_1,pesq_1,pesq_improvement_1,\
si_snr_mixture_2,si_snr_2,si_snr_improvement_2,pesq_mixture_2,pesq_2,pesq_improvement_2
mute,1.0000,,,,,,,,,,,,,,,,,,,,
first,2.5000,FM,2 1,-1.0000,9.0000,10.0000,,,,-3.0000,6.0000,9.0000,1.5000,3.0000,1.5000,1.0000,12.0000,11.0000,,,
second,0.1250,,1 2,1.0000,13.0000,12.0000,1.2500,2.5000,1.2500,\
0.0000,12.0000,12.0000,1.0000,2.0000,1.0000,2.0000,14.0000,12.0000,1.5000,3.0000,1.5000
"""


def fixed_scores():
    """Silent; without PESQ of its second source; complete, of unknown speakers."""
    first = {"si_snr": values_of([-3, 1], [9, 11]), "pesq": values_of([1.5, np.nan], [1.5, np.nan])}
    second = {"si_snr": values_of([0, 2], [12, 12]), "pesq": values_of([1, 1.5], [1, 1.5])}
    return [
        Scores(None, no_values(METRICS), 1.0, "mute"),
        Scores((1, 0), first, 2.5, "first", "FM"),
        Scores((0, 1), second, 0.125, "second"),
    ]


def test_results_csv_is_this_to_the_byte(tmp_path):
    write_csv(tmp_path / "results.csv", fixed_scores())
    assert (tmp_path / "results.csv").read_bytes().decode() == CSV.replace("\n", "\r\n")
    write_csv(tmp_path / "fewer.csv", fixed_scores(), about=["name"])
    rows = [line.split(",") for line in CSV.splitlines()]
    assert (tmp_path / "fewer.csv").read_text().splitlines() == [",".join([row[0], *row[3:]]) for row in rows]


def test_summary_json_is_this_to_the_byte(tmp_path):
    def statistics(mean=None, median=None, error=None, count=0):
        return {"mean": mean, "median": median, "standard_error": error, "count": count}

    def group(si_snr, pesq):
        """Statistics of mixture, estimate and improvement each."""
        kinds = ("mixture", "estimate", "improvement")
        return {"si_snr": dict(zip(kinds, si_snr, strict=True)), "pesq": dict(zip(kinds, pesq, strict=True))}

    def one(*values):
        return [statistics(value, value, None, 1) for value in values]

    nothing = [statistics()] * 3
    bands = dict.fromkeys(("below -5", "-5 to -2", "-2 to 0", "0 to 2", "2 to 5", "above 5"), group(nothing, nothing))
    bands["-5 to -2"] = group(one(-3.0, 6.0, 9.0), one(1.5, 3.0, 1.5))
    bands["0 to 2"] = group(
        [statistics(0.5, 0.5, 0.5, 2), statistics(12.0, 12.0, 0.0, 2), statistics(11.5, 11.5, 0.5, 2)],
        one(1.0, 2.0, 1.0),
    )
    bands["2 to 5"] = group(one(2.0, 14.0, 12.0), one(1.5, 3.0, 1.5))
    everything = [statistics(0.0, 0.0, 1.0, 2), statistics(11.0, 11.0, 2.0, 2), statistics(11.0, 11.0, 1.0, 2)]
    whole = {
        "facts": {"device": "any"},
        "mixtures": 3,
        "left_out": 1,
        "all": group(everything, one(1.25, 2.5, 1.25)),
        "by_sexes": {"FM": group(one(-1.0, 9.0, 10.0), nothing)},
        "by_mixture_si_snr": bands,
    }
    write_summary(tmp_path / "summary.json", summarize(fixed_scores(), {"device": "any"}))
    assert (tmp_path / "summary.json").read_bytes().decode() == json.dumps(whole, indent=1)


def test_a_name_that_is_not_utf8_is_written(tmp_path):
    scores = [replace(each, name=os.fsdecode(b"caf\xe9")) for each in make_scores(3)]
    write_csv(tmp_path / "results.csv", scores)
    assert "caf\\udce9," in (tmp_path / "results.csv").read_text(encoding="utf-8")
