"""Measure a network on a test set of whole mixtures: how much better the estimates are than the mixture.

    python evaluate.py --model_path exp/best.ckpt --data_dir index/tt --out_dir results
    python evaluate.py --model_path exp/best.ckpt --data_dir index/tt --batch_size 4 --metrics si_snr sdr stoi pesq

An improvement is an estimate's value less the mixture's, against the same source; the mean is taken over the sources
of a mixture, then over the mixtures. Estimates are assigned to sources by the highest SI-SNR. results.csv has a row a
mixture, in the order of the index, with the means and each source's own values (_1, _2 ...); its `permutation` gives
the number of the estimate of source 1, 2 ... summary.json has means, medians and standard errors of all, by the
speakers' sexes and by the mixture's SI-SNR. report.html is a page of that with charts, and examples to see and hear.

A mixture that is silent, or one of whose sources is, has no SI-SNR: its row stays empty, it is left out of the
averages, and a line says so. A silent estimate counts as -100 dB.
"""

from common.signals import end_at_signals

if __name__ == "__main__":
    end_at_signals()  # what follows takes seconds

import os
from collections.abc import Sequence
from dataclasses import replace

from device import load_to_separate

from common.command_line import parse, require_positive
from common.errors import UserError, run
from common.files import make_folder
from common.wording import print_line
from corpus.loading import load_index
from corpus.speakers import sexes_of
from evaluation.evaluator import evaluate
from evaluation.metrics import require_metrics
from evaluation.summary import facts_of, print_summary, scored_mixtures, summarize, write_csv, write_summary
from network.checkpoint import path_or_shipped
from network.options import check_precision, parameter_count


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(__doc__, "model_file", "evaluation", "device", "precision", argv=argv)
    require_positive(args, "batch_size", "num_workers")
    make_folder(args.out_dir)
    if not os.access(args.out_dir, os.W_OK):
        raise UserError(f"--out_dir {args.out_dir}: cannot be written to; choose another folder")
    check_precision(args.amp_level, args.amp_type)
    args.model_path = path_or_shipped(args.model_path)
    precision = args.amp_level, args.amp_type
    net, device = load_to_separate(
        args.model_path, args.device_target, args.device_id, *precision, args.jit_level, args.hf32
    )
    metrics = ["si_snr", *(metric for metric in dict.fromkeys(args.metrics) if metric != "si_snr")]
    require_metrics(metrics, net.sample_rate)
    index = load_index(args.data_dir, net.sample_rate)
    index.require_sources(net.options.C, f"{args.model_path} separates")
    sexes = sexes_of(index, args.speakers_file)
    print_line(f"{device}, {args.model_path}: {parameter_count(net)} parameters, {net.options.C} speakers,"
          f" {net.sample_rate} Hz")  # fmt: skip
    print(index.describe())

    scores = evaluate(net, index, args.batch_size, args.num_workers, metrics)
    scores = [replace(each, sexes=letters) for each, letters in zip(scores, sexes, strict=True)]
    scored_mixtures(scores, args.data_dir)  # prints which are left out
    summary = summarize(scores, facts_of(args.model_path, parameter_count(net), index, device, metrics))
    write_csv(os.path.join(args.out_dir, "results.csv"), scores)
    write_summary(os.path.join(args.out_dir, "summary.json"), summary)
    # These draw, with what takes a second to import; until here nothing needs that.
    from evaluation.examples import separate_examples
    from evaluation.report import write_report

    page = os.path.join(args.out_dir, "report.html")
    write_report(page, scores, summary, separate_examples(net, index, scores, args.batch_size, args.num_workers))
    print_summary(summary)
    print_line(f"{page}: the same with charts, and examples to hear; open it in a browser")
    print(f"Average SISNR improvement: {summary['all']['si_snr']['improvement']['mean']:.2f}")


if __name__ == "__main__":
    run(main)
