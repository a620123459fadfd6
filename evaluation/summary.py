"""What evaluate.py writes of all mixtures together: results.csv, a row each, and summary.json.

summary.json is an object of

    facts               what was measured: checkpoint, index, device, versions ...
    mixtures            how many; left_out: those of them that are silent, or have a silent source
    all                 {metric: {"mixture", "estimate" and "improvement": statistics}}, of the mixtures' means
    by_sexes            {"FF", "FM" ...: the same as `all`}, of mixtures whose speakers' sexes are known
    by_mixture_si_snr   {band, such as "0 to 2": the same as `all`}, of single sources, by the mixture's SI-SNR, dB,
                        against each

where statistics are {"mean", "median", "standard_error", "count"}. The standard error is that of the mean, from the
deviation between mixtures (in bands: between sources); null for fewer than two. What has no value is not counted.
"""

import csv
import json
import math
import os
import platform
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from statistics import fmean, median, stdev

from common.errors import UserError
from common.files import checksum, whole_text
from common.wording import print_line, print_markdown
from corpus.index import Index
from evaluation.metrics import PACKAGES
from evaluation.scores import Scores, Values

NAMES = {"si_snr": "SI-SNR, dB", "sdr": "SDR, dB", "stoi": "STOI", "pesq": "PESQ"}
DIGITS = {"si_snr": 2, "sdr": 2, "stoi": 3, "pesq": 2}  # decimals that are shown: STOI has a range of 1
BAND_LIMITS = (-5, -2, 0, 2, 5)  # dB
BANDS = ("below -5", "-5 to -2", "-2 to 0", "0 to 2", "2 to 5", "above 5")


def scored_mixtures(scores: Iterable[Scores], data_dir: str) -> list[Scores]:
    """Those that have an SI-SNR; prints which have none, and what failed. Raises UserError if none has one."""
    scored = []
    for each in scores:
        for metric, why in each.failures.items():
            print_line(f"{each.name}: without {NAMES[metric].removesuffix(', dB')}: {why}")
        if not each.silent:
            scored.append(each)
        elif not each.failures:
            print_line(f"{each.name}: left out of the average, its mixture or one of its sources is silent")
    if not scored:
        failed = ", or failed as said above" if any(each.failures for each in scores) else ""
        raise UserError(f"{data_dir}: every mixture is silent or has a silent source{failed}; take another test set")
    return scored


def facts_of(model_path: str, parameters: int, index: Index, device: str, metrics: Sequence[str]) -> dict:
    """What summary.json says of an evaluation: the checkpoint and its number of parameters, the test set, the device
    and the metrics.
    """
    packages = ["mindspore", "numpy", "fast-bss-eval", *(PACKAGES[name] for name in metrics if name in PACKAGES)]
    return {
        "checkpoint": model_path,
        "checkpoint_sha256": checksum(model_path),
        "parameters": parameters,
        "index": index.path,
        "speakers": index.sources,
        "sample_rate": index.sample_rate,
        "hours": float(index.lengths.sum() / index.sample_rate / 3600),
        "device": device,
        "metrics": metrics,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
    }


def summarize(scores: Sequence[Scores], facts: dict) -> dict:
    """What summary.json holds.

    Args:
        scores: of every mixture, all of the same metrics.
        facts: from `facts_of`; taken over as they are.
    """
    scored = [each for each in scores if not each.silent]
    means = [each.means for each in scored]
    sexes = [each.sexes for each in scored]
    sources = [source for each in scored for source in each.single_sources()]
    bands = [BANDS[bisect_right(BAND_LIMITS, source["si_snr"].mixture)] for source in sources]
    metrics = scores[0].sources
    return {
        "facts": facts,
        "mixtures": len(scores),
        "left_out": len(scores) - len(scored),
        "all": _statistics(means, metrics),
        "by_sexes": {
            letters: _statistics([each for each, own in zip(means, sexes, strict=True) if own == letters], metrics)
            for letters in sorted(set(filter(None, sexes)))
        },
        "by_mixture_si_snr": {
            band: _statistics([source for source, own in zip(sources, bands, strict=True) if own == band], metrics)
            for band in BANDS
        },
    }


def _statistics(values: Sequence[dict[str, Values]], metrics: Iterable[str]) -> dict:
    return {
        metric: {kind: statistics_of([getattr(each[metric], kind) for each in values]) for kind in Values._fields}
        for metric in metrics
    }


def statistics_of(values: Iterable[float]) -> dict[str, float | int | None]:
    """Mean, median, standard error of the mean, and count of those values that are not NaN."""
    values = [value for value in values if not math.isnan(value)]
    return {
        "mean": fmean(values) if values else None,
        "median": median(values) if values else None,
        "standard_error": stdev(values) / len(values) ** 0.5 if len(values) > 1 else None,
        "count": len(values),
    }


def in_digits(value: float | None, digits: int) -> str:
    """A number, or none, in so many decimals; what rounds to zero has no sign."""
    return "none" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"


def print_summary(summary: dict) -> None:
    """Print the means of all mixtures as a table, and which values are missing."""
    table = [["", *Values._fields]]
    for metric, kinds in summary["all"].items():
        digits = DIGITS[metric]
        cells = [in_digits(statistics["mean"], digits) for statistics in kinds.values()]
        if kinds["improvement"]["count"] > 1:
            cells[-1] += f" +- {kinds['improvement']['standard_error']:.{digits}f}"
        table.append([NAMES[metric], *cells])
    print_markdown(table)
    scored = summary["mixtures"] - summary["left_out"]
    for metric, kinds in summary["all"].items():
        if (missing := scored - kinds["improvement"]["count"]) > 0:
            print(
                f"{NAMES[metric]}: could not be computed for {missing} of {scored} mixtures, too short, silent or named"
                " above, whose cells in results.csv are empty"
            )


def write_csv(
    path: str | os.PathLike, scores: Iterable[Scores], about: Sequence[str] = ("name", "seconds", "sexes")
) -> None:
    """Write scores as a CSV file, whole or not at all; numbers to four decimals, what is missing as nothing.

    Args:
        path: file to write.
        scores: of every mixture, all of the same metrics and number of sources.
        about: which of their fields come first in a row, before what was measured.

    Raises UserError if the folder cannot be written or the disk is full.
    """
    rows = [{field: getattr(each, field) for field in about} | each.columns() for each in scores]
    with whole_text(path) as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        for row in rows:
            writer.writerow({key: f"{value:.4f}" if isinstance(value, float) else value for key, value in row.items()})


def write_summary(path: str | os.PathLike, summary: dict) -> None:
    """Write summary.json, whole or not at all. Raises UserError as `write_csv` does."""
    with whole_text(path) as stream:
        json.dump(summary, stream, indent=1)
