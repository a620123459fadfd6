"""Join what ascend310_infer/ made of the pieces of cut_pieces.py, and score it.

    python -m ascend310_infer.join_pieces --model_file conv_tasnet.mindir --data_dir index/tt \
        --pieces_dir infer_310/pieces --estimates_dir infer_310/estimates

Each piece gets the levels that add up to its mixture. The orders of a mixture's pieces are decided together, and each
is joined to the one before it where the two overlap, as separate.py does with long recordings. The CSV file has a row a
mixture. The last line is the average; the one before says what evaluate.py gives for whole mixtures, where the
checkpoint that was exported is still in its place.
"""

import json
import os
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from device import load_to_separate

import numpy as np
from tqdm import tqdm

from ascend310_infer.cut_pieces import bin_name, piece_places
from ascend310_infer.exported import read_facts
from common.command_line import parse
from common.errors import UserError, run
from common.files import checksum
from corpus.index import Index
from corpus.loading import load_index
from evaluation.evaluator import evaluate
from evaluation.metrics import measure
from evaluation.scores import Scores
from evaluation.summary import scored_mixtures, write_csv
from recordings.pieces import at_level, join_pieces


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(__doc__, "exported_file", "inference", "inference_result", "device", argv=argv)
    facts = read_facts(args.model_file)
    index = load_index(args.data_dir, facts["sample_rate"])
    pieces = read_pieces(args.pieces_dir, index, facts)
    scores = [
        replace(measure(audio[0], audio[1:], estimates, index.sample_rate), name=name)
        for name, audio, estimates in tqdm(
            joined_mixtures(index, pieces, args.estimates_dir, facts),
            "joining",
            len(index),
            unit="mixture",
            disable=None,
        )
    ]
    scored = scored_mixtures(scores, args.data_dir)
    write_csv(args.csv, scores, about=["name"])
    average = mean_improvement(scored)
    if args.compare_whole:
        print(compare_whole(average, args, facts, index))
    print(f"Average SISNR improvement: {average:.2f}")


def read_pieces(folder: str, index: Index, facts: dict) -> list[tuple[int, int]]:
    """The pieces in pieces.json, a list of (mixture, start). Raises UserError if they are of other data."""
    path = os.path.join(folder, "pieces.json")
    try:
        with open(path, encoding="utf-8") as stream:
            description = json.load(stream)
        pieces = [tuple(piece) for piece in description["pieces"]]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read ({error}); run cut_pieces.py again") from None
    expected = {key: facts[key] for key in ("length", "batch_size", "speakers")}
    expected |= {"names": index.names, "lengths": index.lengths.tolist()}
    for key, value in expected.items():
        if description.get(key) != value:
            raise UserError(f"{path}: has other {key} than the test set or the network; run cut_pieces.py again")
    if pieces != piece_places(index.lengths.tolist(), facts["length"], facts["network"].hop):
        raise UserError(f"{path}: has other pieces than cut_pieces.py makes; run it again")
    return pieces


def joined_mixtures(
    index: Index, pieces: list[tuple[int, int]], folder: str, facts: dict
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Join the estimates of each mixture.

    Args:
        index: from `corpus.loading.load_index`.
        pieces: list of (mixture, start), in order.
        folder: where the estimates of the pieces are.
        facts: from `ascend310_infer.exported.read_facts`.

    Yields name, audio [1 + C, T] and estimates [C, T] of each mixture. Raises UserError if a file of estimates is
    missing, has another size or is damaged.
    """
    places = [[] for _ in index.names]  # of each mixture: piece, first sample
    for piece, (number, start) in enumerate(pieces):
        places[number].append((piece, start))
    for number, name in enumerate(index.names):
        length = int(index.lengths[number])
        audio = index.read(number, 0, length)  # [1 + C, T]
        estimated = partial(piece_estimates, folder, places[number], facts, audio[0])
        stretches = join_pieces([start for _, start in places[number]], length, index.sample_rate, estimated)
        yield name, audio, np.concatenate(list(stretches), axis=1)


def piece_estimates(
    folder: str, places: list[tuple[int, int]], facts: dict, mixture: np.ndarray
) -> Iterator[np.ndarray]:
    """The program's estimates [C, n] of a mixture's pieces, at its levels; `places` has their numbers and starts."""
    shape = facts["batch_size"], facts["speakers"], facts["length"]
    for piece, start in places:
        path = os.path.join(folder, bin_name(piece // shape[0]).replace(".bin", "_0.bin"))
        try:
            estimates = np.fromfile(path, np.float32)
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}); was its piece separated?") from None
        if estimates.size != np.prod(shape):
            raise UserError(f"{path}: {estimates.size} numbers, expected {list(shape)}; separate its piece again")
        heard = mixture[start : start + facts["length"]]
        yield at_level(estimates.reshape(shape)[piece % shape[0], :, : len(heard)], heard)


def mean_improvement(scored: list[Scores]) -> float:
    """Mean SI-SNR improvement in dB."""
    return float(np.mean([each.means["si_snr"].improvement for each in scored]))


def compare_whole(average: float, args: Namespace, facts: dict, index: Index) -> str:
    """The line that says how far `average` is from whole mixtures, or why that is not known."""
    checkpoint = os.path.join(os.path.dirname(args.model_file), facts["checkpoint"])
    if not os.path.isfile(checkpoint) or checksum(checkpoint) != facts["checkpoint_sha256"]:
        return f"Whole mixtures: not compared, since {checkpoint} is not there or is not what was exported"
    ascend = {"jit_level": args.jit_level, "hf32": args.hf32}
    net, _ = load_to_separate(checkpoint, args.device_target, args.device_id, **ascend)
    whole = mean_improvement(scored_mixtures(evaluate(net, index), args.data_dir))
    return f"Whole mixtures, in Python: {whole:.2f}; the pieces are {average - whole:+.2f} dB from that"


if __name__ == "__main__":
    run(main)
