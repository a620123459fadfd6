"""What evaluate.py writes of all utterances together: results.csv, a row each, and summary.json.

summary.json is an object of

    facts               what was measured: checkpoint, index, device, versions ...
    mixtures            how many; left_out: those of them that are silent, or have a silent source
    all                 {metric: {"mixture", "estimate" and "improvement": statistics}}, of the utterances' means
    by_sexes            {"FF", "FM" ...: as `all`}, of utterances whose speakers' sexes are known
    by_mixture_si_snr   {band, such as "0 to 2": as `all`}, of single sources, by the mixture's SI-SNR, dB, against each

where statistics are {"mean", "median", "standard_error", "count"}. The standard error is that of the mean, from the
deviation between utterances (in bands: between sources); null for fewer than two. What has no value is not counted.
"""

import csv
import json
from bisect import bisect_right
from statistics import fmean, median, stdev

from common.errors import UserError
from common.files import whole_file
from common.wording import print_markdown

NAMES = {"si_snr": "SI-SNR, dB", "sdr": "SDR, dB", "stoi": "STOI", "pesq": "PESQ"}
DIGITS = {"si_snr": 2, "sdr": 2, "stoi": 3, "pesq": 2}  # that are told: STOI has a range of 1
KINDS = {"mixture": "_mixture", "estimate": "", "improvement": "_improvement"}  # how the columns of a metric end
BAND_LIMITS = (-5, -2, 0, 2, 5)  # dB
BANDS = ("below -5", "-5 to -2", "-2 to 0", "0 to 2", "2 to 5", "above 5")


def scored_rows(rows, data_dir):
    """The rows that have an SI-SNR; says which have none. Raises UserError if none has one."""
    for row in rows:
        if row["si_snr"] is None:
            print(f"{row['name']}: left out of the average, its mixture or one of its sources is silent")
    scored = [row for row in rows if row["si_snr"] is not None]
    if not scored:
        raise UserError(f"{data_dir}: every utterance has a silent mixture or source; take another test set")
    return scored


def summarize(rows, metrics, facts):
    """What summary.json holds, of rows of `evaluation.evaluator.evaluate` of which one at least has an SI-SNR.

    Args:
        rows: dicts, with `sexes` where those are known.
        metrics: names, those of the rows.
        facts: a dict, taken over as it is.
    """
    scored = [row for row in rows if row["si_snr"] is not None]
    sexes = sorted({row["sexes"] for row in scored if row.get("sexes")})
    sources = [source for row in scored for source in sources_of(row, metrics)]
    bands = [BANDS[bisect_right(BAND_LIMITS, source["si_snr_mixture"])] for source in sources]
    return {
        "facts": facts,
        "mixtures": len(rows),
        "left_out": len(rows) - len(scored),
        "all": _statistics(scored, metrics),
        "by_sexes": {pair: _statistics([row for row in scored if row.get("sexes") == pair], metrics) for pair in sexes},
        "by_mixture_si_snr": {
            band: _statistics([source for source, own in zip(sources, bands, strict=True) if own == band], metrics)
            for band in BANDS
        },
    }


def sources_of(row, metrics):
    """The sources of a row, dicts with the keys that the row's means have."""
    names = [f"{metric}{ending}" for metric in metrics for ending in KINDS.values()]
    speakers = len(row["permutation"].split())
    return [{name: row[f"{name}_{source + 1}"] for name in names} for source in range(speakers)]


def _statistics(rows, metrics):
    return {
        metric: {kind: statistics_of([row[f"{metric}{ending}"] for row in rows]) for kind, ending in KINDS.items()}
        for metric in metrics
    }


def statistics_of(values):
    """Mean, median, standard error of the mean, and count of those values that are not None; a dict."""
    values = [value for value in values if value is not None]
    return {
        "mean": fmean(values) if values else None,
        "median": median(values) if values else None,
        "standard_error": stdev(values) / len(values) ** 0.5 if len(values) > 1 else None,
        "count": len(values),
    }


def in_digits(value, digits):
    """A number, or none, in so many decimals; what rounds to zero has no sign."""
    return "none" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"


def print_summary(summary):
    """Print the means of all utterances as a table, and which values are missing."""
    table = [["", "mixture", "estimate", "improvement"]]
    for metric, kinds in summary["all"].items():
        digits = DIGITS[metric]
        cells = [in_digits(kinds[kind]["mean"], digits) for kind in KINDS]
        if kinds["improvement"]["count"] > 1:
            cells[-1] += f" +- {kinds['improvement']['standard_error']:.{digits}f}"
        table.append([NAMES[metric], *cells])
    print_markdown(table)
    scored = summary["mixtures"] - summary["left_out"]
    for metric, kinds in summary["all"].items():
        if (missing := scored - kinds["improvement"]["count"]) > 0:
            print(
                f"{NAMES[metric]}: could not be computed for {missing} of {scored} mixtures, too short or silent, whose"
                " cells in results.csv are empty"
            )


def write_csv(path, rows):
    """Write dicts of the same keys as a CSV file, whole or not at all; numbers to four decimals, None as nothing.

    Raises UserError if the folder cannot be written or the disk is full.
    """
    with whole_file(path) as partial, open(partial, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        for row in rows:
            writer.writerow({key: f"{value:.4f}" if isinstance(value, float) else value for key, value in row.items()})


def write_summary(path, summary):
    """Write summary.json, whole or not at all. Raises UserError as `write_csv` does."""
    with whole_file(path) as partial, open(partial, "w", encoding="utf-8") as stream:
        json.dump(summary, stream, indent=1)
