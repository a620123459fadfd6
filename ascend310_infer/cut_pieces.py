"""Cut the mixtures of a test set into the pieces that an exported network takes, for ascend310_infer/.

    python -m ascend310_infer.cut_pieces --model_file conv_tasnet.mindir --data_dir index/tt \
        --pieces_dir infer_310/pieces

writes 00000.bin, 00001.bin ..., float32 [batch, length] each, and pieces.json, which says where in which mixture each
row comes from. Consecutive pieces of a mixture share a quarter of their length, by which join_pieces.py joins their
estimates. What is shorter than a piece, and the rest of the last batch, is filled up with zeros, which the network
takes for silence.
"""

import json
import os
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from ascend310_infer.exported import read_facts
from common.command_line import parse
from common.errors import UserError, run
from common.files import whole_file, whole_text
from common.wording import print_line
from corpus.index import Index
from corpus.loading import load_index
from recordings.pieces import piece_starts

SHARED = 0.25  # of a piece, with the next


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(__doc__, "exported_file", "inference", argv=argv)
    facts = read_facts(args.model_file)
    if facts["length"] is None:
        raise UserError(f"{args.model_file}: is for any length, but the program needs one; export it with --length 4")
    index = load_index(args.data_dir, facts["sample_rate"])
    index.require_sources(facts["speakers"], f"{args.model_file} separates")
    try:
        os.makedirs(args.pieces_dir, exist_ok=True)
        if os.listdir(args.pieces_dir):
            raise UserError(f"--pieces_dir {args.pieces_dir}: is not empty; take another folder")
    except OSError as error:
        raise UserError(f"--pieces_dir {args.pieces_dir}: cannot be made ({error.strerror})") from None
    pieces = piece_places(index.lengths.tolist(), facts["length"], facts["network"].hop)
    write_pieces(args.pieces_dir, index, pieces, facts)
    print_line(f"{args.pieces_dir}: {len(index)} mixtures in {len(pieces)} pieces of {facts['length']} samples")


def piece_places(lengths: list[int], piece: int, hop: int) -> list[tuple[int, int]]:
    """Where the pieces of mixtures lie.

    Args:
        lengths: samples of each mixture.
        piece: samples of a piece.
        hop: what starts are multiples of.

    Returns a list of (mixture, start), in order: the number of the mixture, from 0, and the first sample in it.
    """
    shared = round(SHARED * piece)
    return [(i, start) for i, length in enumerate(lengths) for start in piece_starts(length, piece, shared, hop)]


def write_pieces(folder: str, index: Index, pieces: list[tuple[int, int]], facts: dict) -> None:
    """Write the pieces, `batch_size` of them a file, and last pieces.json. Raises UserError if that fails."""
    batch_size, length = facts["batch_size"], facts["length"]
    for first in tqdm(range(0, len(pieces), batch_size), desc="cutting", unit="file", disable=None):
        batch = np.zeros((batch_size, length), np.float32)
        for row, (mixture, start) in zip(batch, pieces[first : first + batch_size], strict=False):
            samples = min(length, int(index.lengths[mixture]) - start)
            row[:samples] = index.read(mixture, start, samples)[0]
        with whole_file(os.path.join(folder, bin_name(first // batch_size))) as partial, open(partial, "wb") as file:
            file.write(batch)  # `tofile` does not notice a full disk
    description = {
        "length": length,
        "batch_size": batch_size,
        "speakers": facts["speakers"],
        "names": index.names,
        "lengths": index.lengths.tolist(),
        "pieces": pieces,
    }
    with whole_text(os.path.join(folder, "pieces.json")) as stream:
        json.dump(description, stream)


def bin_name(number: int) -> str:
    """The name of a file of pieces."""
    return f"{number:05d}.bin"


if __name__ == "__main__":
    run(main)
