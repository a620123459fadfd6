"""The processes of one run, each with a device of its own, and what they tell each other beside gradients."""

import os

import numpy as np
from mindspore import Tensor, communication, nn, ops

from common.errors import UserError, first_line


class Ranks:
    """This process's number among `count`, from 0. Number 0 alone writes files.

    Values go over in float32, so that all ranks get the same sums to the bit and decide alike.
    """

    def __init__(self, number=0, count=1):
        self.number, self.count = number, count
        self.is_first = number == 0
        self._sum = _Sum() if count > 1 else None

    @property
    def share(self):
        """Whose part of a batch is read here, as data.py takes it."""
        return self.number, self.count

    def sum(self, *values):
        """Add numbers up over all ranks: a list of floats."""
        if self.count == 1:
            return list(values)
        return self._sum(Tensor(np.array(values, np.float32))).asnumpy().tolist()

    def any(self, flag):
        """Whether the flag is set on any rank."""
        return self.sum(float(flag))[0] > 0

    def wait(self):
        """Wait until every rank is here."""
        self.sum(0.0)

    def mean_of(self, parameters):
        """Set parameters, which ranks keep each their own of (BN's running averages), to their mean."""
        if self.count > 1:
            for parameter in parameters:
                parameter.set_data(self._sum(parameter.value()) / self.count)


class _Sum(nn.Cell):
    def __init__(self):
        super().__init__()
        self.all_reduce = ops.AllReduce()

    def construct(self, values):
        return self.all_reduce(values)


def join(distribute):
    """Meet the other processes, if `distribute`. Call after `device.set_device`.

    Raises UserError if this process was not started as one of several.
    """
    if not distribute:
        return Ranks()
    if not ("MS_ROLE" in os.environ or "RANK_TABLE_FILE" in os.environ):
        raise UserError(
            "--distribute 1: is for scripts/run_distribute_train.sh, which starts a process for each device"
        )
    try:
        communication.init()
        number, count = communication.get_rank(), communication.get_group_size()
    except (RuntimeError, ValueError) as error:
        raise UserError(f"--distribute 1: the ranks did not find each other ({first_line(error)})") from None
    print(f"rank {number} of {count}: process {os.getpid()}", flush=True)
    return Ranks(number, count)
