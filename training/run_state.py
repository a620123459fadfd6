"""All that a training run goes on from: what a checkpoint of train.py holds beside the network."""

from dataclasses import asdict, dataclass

import mindspore as ms

from common.errors import UserError
from model import ConvTasNet
from network.checkpoint import read_checkpoint, restore, write_checkpoint
from network_define import MovingAverage, TrainingStep
from training.run_folder import changes

OPTIMIZER_OPTIONS = ("learning_rate", "momentum")  # parameters of MindSpore's optimisers that --lr, --momentum decide


@dataclass
class EpochProgress:
    """How far an epoch has come. A checkpoint holds it under these names."""

    steps: int = 0  # done, including those skipped
    skipped: int = 0  # steps that were not taken, since their loss or gradient was not finite
    lr: float = 0.0  # learning rate of the last step
    loss: float = 0.0  # dB, the sum over all mixtures
    mixtures: float = 0.0  # in the steps that were taken
    seconds: float = 0.0

    @property
    def mean_loss(self) -> float:
        """Mean loss in dB over the mixtures so far."""
        return self.loss / max(self.mixtures, 1)


class State:
    """Weights, optimiser, moving average, loss scale, and how far the run has come.

    Args:
        net: the network that is trained.
        step: what trains it.
        average: the moving average of its weights, or None.
        options: every option that the run is made with.

    Attributes: `history`, a dict for each epoch that is over; `epoch`, the progress of the one under way; `bad_steps`,
    how many steps in a row were skipped.
    """

    def __init__(self, net: ConvTasNet, step: TrainingStep, average: MovingAverage | None, options: dict):
        self.net, self.step, self.average, self.options = net, step, average, options
        self.history, self.epoch, self.bad_steps = [], EpochProgress(), 0

    @property
    def valid_losses(self) -> list[float]:
        """Validation loss in dB of each epoch that is over."""
        return [epoch["valid_loss"] for epoch in self.history]

    def write(self, path: str) -> None:
        """Write a checkpoint that `go_on_from` takes up."""
        progress = {
            "history": self.history,
            "epoch": asdict(self.epoch),
            "bad_steps": self.bad_steps,
            "options": self.options,
            "loss_scale": self.step.loss_scale,
        }
        write_checkpoint(path, self.net, progress, [*self.optimizer_memory(), *self.named_averages()])

    def go_on_from(self, path: str) -> list[str]:
        """Take everything from a checkpoint; returns lines that say how far it had come and what has changed since.

        Raises UserError if these options cannot go on from it.
        """
        checkpoint = read_checkpoint(path)
        progress = checkpoint.progress
        if "options" not in progress:
            raise UserError(f"{path}: not from a training run of this version; take the last.ckpt of one")
        self.history, self.bad_steps = progress["history"], progress["bad_steps"]
        self.epoch = EpochProgress(**progress["epoch"])
        lines = changes(path, progress["options"], self.options, in_epoch=self.epoch.steps > 0)
        restore(self.net.parameters_and_names(), checkpoint.parameters, path)
        restore(self.optimizer_memory(), checkpoint.parameters, path)
        self.step.loss_scale = progress["loss_scale"]
        averages = self.named_averages()
        if averages and averages[0][0] not in checkpoint.parameters:  # not asked for until now: begin with the weights
            averages = [(name.removeprefix("ema."), average) for name, average in averages]
        restore(averages, checkpoint.parameters, path)
        done = f"{len(self.history)} epochs and {self.epoch.steps} steps are done"
        return [f"going on from {path}: {done}", *lines]

    def optimizer_memory(self) -> list[tuple[str, ms.Parameter]]:
        """What the optimiser remembers beside the weights and its options, each with its name in a checkpoint."""
        weights = {id(parameter) for parameter in self.net.get_parameters()}
        memory = [p for p in self.step.optimizer.get_parameters() if id(p) not in weights]
        return [(f"optimizer.{p.name}", p) for p in memory if p.name.split(".")[-1] not in OPTIMIZER_OPTIONS]

    def named_averages(self) -> list[tuple[str, ms.Parameter]]:
        """The moving average of every weight, if there is one, each with its name in a checkpoint."""
        if self.average is None:
            return []
        names = {id(parameter): name for name, parameter in self.net.parameters_and_names()}
        pairs = zip(self.average.weights, self.average.averages, strict=True)
        return [(f"ema.{names[id(weight)]}", average) for weight, average in pairs]
