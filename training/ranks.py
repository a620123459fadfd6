"""The processes of one run, each with a device of its own, and what they exchange beside gradients."""

import os

import mindspore as ms
import numpy as np
from mindspore import communication, nn

from common.errors import UserError, first_line
from common.signals import signals_let_through
from network_define import SumOverRanks


class Ranks:
    """This process's number among `count`, from 0. Number 0 alone writes files.

    Values are exchanged in float32, so that all ranks get the same sums to the bit and decide alike.
    """

    def __init__(self, number: int = 0, count: int = 1):
        self.number, self.count = number, count
        self.is_first = number == 0
        self._sum = SumOverRanks() if count > 1 else None

    @property
    def share(self) -> tuple[int, int]:
        """Which part of a batch this process reads, as data.py takes it."""
        return self.number, self.count

    def sum(self, *values: float) -> list[float]:
        """Add numbers up over all ranks."""
        if self.count == 1:
            return list(values)
        (total,) = self._sum(ms.Tensor(np.array(values, np.float32)))
        return total.asnumpy().tolist()

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any rank."""
        return self.sum(float(flag))[0] > 0

    def wait(self) -> None:
        """Wait until every rank is here."""
        self.sum(0.0)

    def share_running_averages(self, net: nn.Cell) -> None:
        """Set BN's running averages, which each rank keeps of its own batches, to their mean over the ranks."""
        averages = [average for average in net.get_parameters() if not average.requires_grad]
        if self.count > 1 and averages:
            for average, total in zip(averages, self._sum(*(a.value() for a in averages)), strict=True):
                average.set_data(total / self.count)


def join_ranks(distribute: int) -> Ranks:
    """Meet the other processes of the run, if `distribute`. Call it after `device.set_device`.

    Raises UserError if this process was not started as one of several.
    """
    if not distribute:
        return Ranks()
    if not ("MS_ROLE" in os.environ or "RANK_TABLE_FILE" in os.environ):
        raise UserError(
            "--distribute 1: is for scripts/run_distribute_train.sh, which starts a process for each device"
        )
    try:
        with signals_let_through():  # in here MindSpore's scheduler stays until the ranks have ended
            communication.init()
        number, count = communication.get_rank(), communication.get_group_size()
    except (RuntimeError, ValueError) as error:
        raise UserError(f"--distribute 1: the ranks did not find each other ({first_line(error)})") from None
    print(f"rank {number} of {count}: process {os.getpid()}", flush=True)
    return Ranks(number, count)
