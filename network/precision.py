"""Half precision, where the device computes in it.

Matrix products are most of the work and lose least by it. What is between them, the norms' statistics and the loss
stay in float32, and so do the weights that the optimiser moves.
"""

import os
import sys

import mindspore as ms
from mindspore import nn

from common.ascend import is_910a
from common.errors import UserError
from common.processor import processor_can
from network.layers import PointwiseConv


class HalfProduct(nn.Cell):
    """A matrix product of float32 tensors in half precision, given in float32."""

    def __init__(self, product: ms.ops.Primitive, half: ms.Type):
        super().__init__()
        self.product, self.half = product, half

    def construct(self, x, weight):
        return self.product(x.astype(self.half), weight.astype(self.half)).astype(ms.float32)


def set_precision(net: nn.Cell, level: str, half: str, device: str) -> None:
    """Make a network compute in half precision, by the options --amp_level and --amp_type.

    Args:
        net: model.ConvTasNet.
        level: "O0" leaves it in float32, "O2" halves the separator's products, "O3" the encoder's and decoder's too.
        half: "float16" or "bfloat16".
        device: what `device.set_device` returned.

    Call it before any network computes. Raises UserError if the device has no such products, or is an Ascend 910A,
    which saturates: a step that overflows would have a finite gradient, and be taken.
    """
    if device == "CPU":
        halves_on_cpu(level, half)
    elif level != "O0":
        if device == "Ascend" and is_910a():
            raise UserError(
                f"--amp_level {level}: an Ascend 910A shows no overflow of {half} in the gradients; leave it out. The"
                " card multiplies in float16 all the same"
            )
        halve_products(net, level, getattr(ms, half))


def halves_on_cpu(level: str, half: str) -> bool:
    """Have MindSpore multiply in half precision on a CPU, where the processor can; the arguments are `set_precision`'s.

    A processor with AMX multiplies float32 numbers that it has rounded to bfloat16, and adds the products up in
    float32. oneDNN, which computes MindSpore's products, does so for all of a process that are not tiny, whatever the
    level, if the environment asks for it at the first of them: call this before any network computes.

    Returns whether it will. Where the processor has no AMX it prints a line. Raises UserError for float16.
    """
    if level == "O0":
        return False
    if half != "bfloat16":
        raise UserError(
            f"--amp_level {level}: MindSpore's CPU has no matrix products in {half}; take --amp_type bfloat16, or leave"
            " both out"
        )
    if not processor_can("amx_bf16"):
        print(f"--amp_type {half}: this processor has no AMX to multiply in it; all stays in float32", file=sys.stderr)
        return False
    os.environ["ONEDNN_DEFAULT_FPMATH_MODE"] = "BF16"
    return True


def halve_products(net: nn.Cell, level: str, half: ms.Type) -> None:
    """Put products in `half` in the place of those in float32; `level` as for `set_precision`."""
    for _, cell in net.separator.cells_and_names():
        if isinstance(cell, PointwiseConv):
            cell.product, cell.batch_product = HalfProduct(cell.product, half), HalfProduct(cell.batch_product, half)
    if level == "O3":
        for cell in (net.encoder, net.decoder):
            cell.product = HalfProduct(cell.product, half)


def loss_scaler(level: str, half: str) -> ms.amp.LossScaler | None:
    """What keeps small gradients from vanishing in float16; None for bfloat16, whose range is that of float32."""
    if level == "O0" or half == "bfloat16":
        return None
    return ms.amp.DynamicLossScaler(scale_value=2.0**16, scale_factor=2, scale_window=2000)
