"""Measure a network on a test set: SI-SNR improvement, and SDR improvement if asked, of whole utterances.

    python evaluate.py --model_path exp/best.ckpt --data_dir index/tt
    python evaluate.py --model_path exp/best.ckpt --data_dir index/tt --batch_size 4 --cal_sdr 1 --csv results.csv

An improvement is an estimate's value less the mixture's, against the same source; the mean is taken over the sources
of an utterance, then over the utterances. Estimates are assigned to sources by the highest SI-SNR. The CSV file has a
row an utterance, in the order of the index; its `permutation` gives the number of the estimate of source 1, 2 ...

An utterance whose mixture, or one of whose sources, is silent has no SI-SNR: its row stays empty, it is left out of
the average, and a line says so. A silent estimate counts as -100 dB.
"""

import csv
import os

from device import set_device

import numpy as np
from tqdm import tqdm

from checkpoint import path_or_shipped
from config import parse, require_positive
from data import describe, load_index
from errors import UserError, run
from files import whole_file
from metrics import best_permutation, is_silent, sdr, si_snr
from model import load_model, parameter_count
from packing import packed_batches


def main(argv=None):
    args = parse(__doc__, "model_file", "evaluation", "device", argv=argv)
    require_positive(args, "batch_size", "num_workers")
    _require_place_for_csv(args.csv)
    device = set_device(args.device_target, args.device_id)
    args.model_path = path_or_shipped(args.model_path)
    net = load_model(args.model_path)
    index = load_index(args.data_dir, net.sample_rate)
    if index.speakers != net.options.C:
        raise UserError(
            f"{args.data_dir}: {index.speakers} sources in a mixture, but {args.model_path} separates {net.options.C};"
            " take a test set and a network of as many speakers"
        )
    print(f"{device}, {args.model_path}: {parameter_count(net)} parameters, {net.options.C} speakers,"
          f" {net.sample_rate} Hz")  # fmt: skip
    print(describe(index))

    rows = evaluate(net, index, args.batch_size, args.num_workers, args.cal_sdr)
    scored = scored_rows(rows, args.data_dir)
    write_csv(args.csv, rows, columns=scored[0].keys())
    if args.cal_sdr:
        print(f"Average SDR improvement: {np.mean([row['sdr_improvement'] for row in scored]):.2f}")
    print(f"Average SISNR improvement: {np.mean([row['si_snr_improvement'] for row in scored]):.2f}")


def evaluate(net, index, batch_size=1, num_workers=1, cal_sdr=False):
    """Separate every utterance of an index and measure the result.

    Args:
        net: model.ConvTasNet, or what takes mixtures [M, T], lengths and starts [M, U] as it does, and has `options`.
        index: of `data.load_index`, with C speakers.
        batch_size: rows of utterances separated at once; it changes the speed only.
        num_workers: threads that read files.
        cal_sdr: SDR too.

    Returns a dict an utterance, in the order of the index: `name`, `seconds` and, unless something is silent, what
    `measure` gives. Raises UserError if a file cannot be read or the network gives NaN.
    """
    batches = packed_batches(index, batch_size, net.options, num_workers)
    utterances = iter(batches.order)
    rows = [
        {"name": name, "seconds": length / index.sample_rate}
        for name, length in zip(index.names, index.lengths, strict=True)
    ]
    with tqdm(total=len(index), desc="evaluating", unit="mixture", disable=None) as progress:
        for mixture, lengths, starts, sources in batches:
            estimates = net(mixture, lengths, starts)  # [M, C, T]
            mixture, sources, estimates = (tensor.asnumpy() for tensor in (mixture, sources, estimates))
            lengths, starts = lengths.asnumpy(), starts.asnumpy()  # [M, U]
            for m, u in np.argwhere(lengths > 0):
                stretch = slice(starts[m, u], starts[m, u] + lengths[m, u])
                row = rows[next(utterances)]
                row |= measure(mixture[m, stretch], sources[m, :, stretch], estimates[m, :, stretch], cal_sdr)
                progress.update()
    return rows


def measure(mixture, sources, estimates, cal_sdr=False):
    """Measure the estimates of one utterance.

    Args:
        mixture: [T].
        sources: [C, T].
        estimates: [C, T], in any order.
        cal_sdr: SDR too.

    Returns a dict of means over the sources in dB, `si_snr_mixture`, `si_snr`, `si_snr_improvement`, the
    `permutation` as text, and the same of `sdr`; empty if the mixture or a source is silent. Raises UserError if an
    estimate is not finite.
    """
    if not np.isfinite(estimates).all():
        raise UserError("--model_path: the network gives NaN or infinite samples; take a checkpoint from before that")
    if is_silent(np.vstack([mixture, sources])).any():
        return {}
    signals = np.vstack([estimates, mixture])  # [C + 1, T]
    values = si_snr(sources, signals)  # [C, C + 1]
    permutation = best_permutation(values[:, :-1])
    row = _means("si_snr", values, permutation)
    row["permutation"] = " ".join(str(estimate + 1) for estimate in permutation)
    if cal_sdr:
        row |= _means("sdr", sdr(sources, signals), permutation)
    return row


def _means(name, values, permutation):
    """Means over the sources, of values [C, C + 1] against the estimates and, last, the mixture."""
    before = values[:, -1].mean()
    after = values[np.arange(len(permutation)), permutation].mean()
    return {f"{name}_mixture": before, name: after, f"{name}_improvement": after - before}


def scored_rows(rows, data_dir):
    """The rows that have an SI-SNR; says which have none."""
    for row in rows:
        if "si_snr" not in row:
            print(f"{row['name']}: left out of the average, its mixture or one of its sources is silent")
    scored = [row for row in rows if "si_snr" in row]
    if not scored:
        raise UserError(f"{data_dir}: every utterance has a silent mixture or source; take another test set")
    return scored


def write_csv(path, rows, columns):
    """Write dicts as a CSV file, whole or not at all; numbers to four decimals.

    Raises UserError if the folder cannot be written or the disk is full.
    """
    with whole_file(path) as partial, open(partial, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        for row in rows:
            writer.writerow({key: value if isinstance(value, str) else f"{value:.4f}" for key, value in row.items()})


def _require_place_for_csv(path):
    """Fail before the work and not after it."""
    folder = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path) or not (os.path.isdir(folder) and os.access(folder, os.W_OK)):
        raise UserError(f"--csv {path}: must be a file, in a folder that exists and can be written to")


if __name__ == "__main__":
    run(main)
