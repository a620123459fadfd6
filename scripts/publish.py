"""Makes a checkpoint fit to be given away: the network alone, without what training goes on from, in half the bytes.

    python -m scripts.publish exp/best.ckpt small.ckpt

The weights are rounded to float16. What reads a checkpoint reads this one too, and computes in float32.
"""

import os
from collections.abc import Sequence

from common.command_line import parse
from common.errors import run
from common.wording import print_line
from network.checkpoint import publish


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(__doc__, "publication", argv=argv)
    publish(args.in_file, args.out_file)
    print_line(
        f"{args.out_file}: the network of {args.in_file} in float16, {os.path.getsize(args.out_file) / 1e6:.2f} MB"
    )


if __name__ == "__main__":
    run(main)
