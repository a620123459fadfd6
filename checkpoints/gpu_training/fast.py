"""The functions that a step of training spends its time in: as they stand, or compiled for a GPU."""

import torch

from checkpoints.gpu_training import arithmetic, block, objective

PLAIN = {
    "encode": arithmetic.encode,
    "decode": arithmetic.decode,
    "convolve": block.convolve,
    "backward_out": block.backward_out,
    "backward_prelu": block.backward_prelu,
    "backward_statistics": block.backward_statistics,
    "sums_of_taps": block.sums_of_taps,
    "backward_in": block.backward_in,
    "separation_loss": objective.separation_loss,
}
COMPILER = {
    "realize_reads_threshold": 100,  # features are worked out anew where they are needed, and not kept
    "realize_opcount_threshold": 1000,
    "assert_indirect_indexing": False,
}
RECOMPILE_LIMIT = 64  # of a function, for other shapes; with `fullgraph` one more is an error


class Functions:
    """The functions of PLAIN as attributes.

    Args:
        compiled: let torch.compile make kernels of them, when they are first called with a shape; but for the sums
            that it gets wrong, which have a kernel of their own.
    """

    def __init__(self, compiled: bool = False):
        found = PLAIN
        if compiled:
            from checkpoints.gpu_training import kernels  # there is Triton where there is a GPU

            torch._dynamo.config.recompile_limit = RECOMPILE_LIMIT
            found = {
                name: torch.compile(function, fullgraph=True, dynamic=False, options=COMPILER)
                for name, function in PLAIN.items()
            } | {"sums_of_taps": kernels.sums_of_taps}
        for name, function in found.items():
            setattr(self, name, function)
