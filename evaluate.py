"""Measure a network on a test set of whole utterances: how much better the estimates are than the mixture.

    python evaluate.py --model_path exp/best.ckpt --data_dir index/tt --out_dir results
    python evaluate.py --model_path exp/best.ckpt --data_dir index/tt --batch_size 4 --metrics si_snr sdr stoi pesq

An improvement is an estimate's value less the mixture's, against the same source; the mean is taken over the sources
of an utterance, then over the utterances. Estimates are assigned to sources by the highest SI-SNR. results.csv has a
row an utterance, in the order of the index, with the means and each source's own values (_1, _2 ...); its `permutation`
gives the number of the estimate of source 1, 2 ... summary.json has means, medians and standard errors of all, by the
speakers' sexes and by the mixture's SI-SNR. report.html is a page of that with charts, and examples to see and hear.

An utterance whose mixture, or one of whose sources, is silent has no SI-SNR: its row stays empty, it is left out of
the averages, and a line says so. A silent estimate counts as -100 dB.
"""

import os
import platform
from importlib.metadata import version

from device import set_device

from common.command_line import parse, require_positive
from common.errors import UserError, run
from common.files import checksum, make_folder
from corpus.loading import load_index
from corpus.speakers import sexes_of
from evaluation.evaluator import evaluate, separate_utterances
from evaluation.metrics import PACKAGES, require_metrics
from evaluation.report import choose, write_report
from evaluation.summary import print_summary, scored_rows, summarize, write_csv, write_summary
from model import load_model, parameter_count
from network.checkpoint import path_or_shipped


def main(argv=None):
    args = parse(__doc__, "model_file", "evaluation", "device", argv=argv)
    require_positive(args, "batch_size", "num_workers")
    make_folder(args.out_dir)
    if not os.access(args.out_dir, os.W_OK):
        raise UserError(f"--out_dir {args.out_dir}: cannot be written to; choose another folder")
    device = set_device(args.device_target, args.device_id)
    args.model_path = path_or_shipped(args.model_path)
    net = load_model(args.model_path)
    metrics = ["si_snr", *(metric for metric in dict.fromkeys(args.metrics) if metric != "si_snr")]
    require_metrics(metrics, net.sample_rate)
    index = load_index(args.data_dir, net.sample_rate)
    index.require_sources(net.options.C, f"{args.model_path} separates")
    sexes = sexes_of(index, args.speakers_file)
    print(f"{device}, {args.model_path}: {parameter_count(net)} parameters, {net.options.C} speakers,"
          f" {net.sample_rate} Hz")  # fmt: skip
    print(index.describe())

    rows = evaluate(net, index, args.batch_size, args.num_workers, metrics)
    rows = [
        {"name": row["name"], "seconds": row["seconds"], "sexes": letters} | row
        for row, letters in zip(rows, sexes, strict=True)
    ]
    scored_rows(rows, args.data_dir)  # tells which are left out
    summary = summarize(rows, metrics, facts(args, net, index, device, metrics))
    write_csv(os.path.join(args.out_dir, "results.csv"), rows)
    write_summary(os.path.join(args.out_dir, "summary.json"), summary)
    page = os.path.join(args.out_dir, "report.html")
    write_report(page, rows, summary, examples(net, index, rows, args.batch_size, args.num_workers))
    print_summary(summary)
    print(f"{page}: the same with charts, and examples to hear; open it in a browser")
    print(f"Average SISNR improvement: {summary['all']['si_snr']['improvement']['mean']:.2f}")


def facts(args, net, index, device, metrics):
    """What summary.json says of the run."""
    packages = ["mindspore", "numpy", "fast-bss-eval", *(PACKAGES[name] for name in metrics if name in PACKAGES)]
    return {
        "checkpoint": args.model_path,
        "checkpoint_sha256": checksum(args.model_path),
        "parameters": parameter_count(net),
        "index": args.data_dir,
        "speakers": index.sources,
        "sample_rate": index.sample_rate,
        "hours": float(index.lengths.sum() / index.sample_rate / 3600),
        "device": device,
        "metrics": metrics,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
    }


def examples(net, index, rows, batch_size, num_workers):
    """What `report.write_report` shows of single utterances, separated once more; arguments as of `evaluate`."""
    chosen = choose(rows)
    signals = separate_utterances(net, index, list(chosen.values()), batch_size, num_workers)
    return [
        (kind, rows[utterance], *each, index.sample_rate)
        for (kind, utterance), each in zip(chosen.items(), signals, strict=True)
    ]


if __name__ == "__main__":
    run(main)
