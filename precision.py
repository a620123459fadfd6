"""Half precision, where the device computes in it."""

import mindspore as ms

from errors import UserError


def set_precision(net, level, half, device):
    """Have a network compute in half precision: --amp_level and --amp_type of config.py.

    Raises UserError if the device has none.
    """
    if level != "O0" and device == "CPU":
        raise UserError(f"--amp_level {level}: MindSpore's CPU has no matrix products in {half}; leave it out")


def loss_scaler(level, half):
    """What keeps small gradients from vanishing in float16; bfloat16, as wide as float32, needs none."""
    if level == "O0" or half == "bfloat16":
        return None
    return ms.amp.DynamicLossScaler(scale_value=2.0**16, scale_factor=2, scale_window=2000)
