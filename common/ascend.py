"""What is asked of MindSpore on an Ascend card, and what a card cannot do."""

import mindspore as ms
from mindspore.device_context.ascend import op_precision

from common.errors import UserError


def is_910a() -> bool:
    """Whether the card is of the first Ascend 910, which multiplies in float16 alone, and whose arithmetic saturates:
    infinity becomes the largest number, and what is no number 0.
    """
    from mindspore._c_expression import MSContext  # MindSpore's own amp asks it the same, and nothing public tells

    return MSContext.get_instance().get_ascend_soc_version() == "ascend910"


def set_up(jit_level: str | None, hf32: bool) -> None:
    """Set the precision and how graphs are run. Call it once the device is set, before any network computes.

    Left alone, CANN lets its operators of before (aclop) turn float32 into float16 where that suits them.

    Args:
        jit_level: "O0", "O1", or None for what MindSpore takes.
        hf32: whether products of float32 are computed in HF32.

    Raises UserError if the card has no HF32.
    """
    if hf32 and is_910a():
        raise UserError("--hf32 1: an Ascend 910A has no such products; leave it out")
    # To keep float32 would be an error on a 910A, which has no products in it.
    op_precision.precision_mode("allow_fp32_to_fp16" if is_910a() else "must_keep_origin_dtype")
    op_precision.matmul_allow_hf32(bool(hf32))
    if jit_level is not None:
        ms.set_context(jit_config={"jit_level": jit_level})
