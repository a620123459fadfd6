"""All that a training run goes on from: what a checkpoint of train.py holds beside the network."""

from contextlib import contextmanager
from dataclasses import asdict

import mindspore as ms
from mindspore import ops

from common.errors import UserError
from network.checkpoint import read_checkpoint, restore, write_checkpoint
from training.run_folder import changes
from training.warm_start import at_their_dilations, restore_fitting, without_look_ahead

OPTIMIZER_OPTIONS = ("learning_rate", "momentum")  # parameters of MindSpore's optimisers that --lr, --momentum decide


class State:
    """Weights, optimiser, moving average, loss scale, and how far the run has come.

    Args:
        net: model.ConvTasNet.
        step: network_define.TrainingStep.
        average: network_define.MovingAverage, or None.
        options: every option that the run is made with, a dict.

    Attributes: `history`, a dict for each epoch that is over; `epoch`, what is known of the one under way: its steps,
    those of them that were skipped, the last learning rate, and sums of loss, mixtures and seconds; `bad_steps`, those
    skipped in a row.
    """

    def __init__(self, net, step, average, options):
        self.net, self.step, self.average, self.options = net, step, average, options
        self.history, self.bad_steps = [], 0
        self.begin_epoch()

    def begin_epoch(self):
        self.epoch = {"steps": 0, "skipped": 0, "lr": 0.0, "loss": 0.0, "mixtures": 0.0, "seconds": 0.0}

    @property
    def valid_losses(self):
        return [epoch["valid_loss"] for epoch in self.history]

    @property
    def mean_loss(self):
        """Mean loss in dB over the mixtures of this epoch so far."""
        return self.epoch["loss"] / max(self.epoch["mixtures"], 1)

    def write(self, path):
        """Write a checkpoint that `read` takes up."""
        progress = {
            "history": self.history,
            "epoch": self.epoch,
            "bad_steps": self.bad_steps,
            "options": self.options,
            "loss_scale": self.step.loss_scale,
        }
        write_checkpoint(path, self.net, progress, [*self.of_optimizer(), *self.of_average()])

    def read(self, path):
        """Take everything from a checkpoint; returns lines that say where it stands and what has changed since.

        Raises UserError if these options cannot go on from it.
        """
        checkpoint = read_checkpoint(path)
        progress = checkpoint.progress
        if "options" not in progress:
            raise UserError(f"{path}: not from a training run of this version; take the last.ckpt of one")
        self.history, self.epoch, self.bad_steps = (progress[key] for key in ("history", "epoch", "bad_steps"))
        lines = changes(path, progress["options"], self.options, in_epoch=self.epoch["steps"] > 0)
        restore(self.net.parameters_and_names(), checkpoint.parameters, path)
        restore(self.of_optimizer(), checkpoint.parameters, path)
        self.step.loss_scale = progress["loss_scale"]
        averages = self.of_average()
        if averages and averages[0][0] not in checkpoint.parameters:  # not asked for until now: begin with the weights
            averages = [(name.removeprefix("ema."), average) for name, average in averages]
        restore(averages, checkpoint.parameters, path)
        done = f"{len(self.history)} epochs and {self.epoch['steps']} steps are done"
        return [f"going on from {path}: {done}", *lines]

    def begin_with(self, path):
        """Take the weights of a checkpoint, as far as they fit, and nothing else; returns lines that say which.

        A causal network takes those of one that is not without the taps that look ahead. One of more X or R begins with
        what the smaller one computes: the blocks between add nothing. Raises UserError if the file cannot be read, or
        if none fits.
        """
        checkpoint = read_checkpoint(path)
        parameters, new = at_their_dilations(checkpoint.parameters, checkpoint.options, self.net.options)
        if self.net.options.causal and not checkpoint.options.causal:
            parameters = without_look_ahead(parameters)
        lines = restore_fitting(list(self.net.parameters_and_names()), parameters, path)
        there, here = (asdict(options) for options in (checkpoint.options, self.net.options))
        there["sample_rate"], here["sample_rate"] = checkpoint.sample_rate, self.net.sample_rate
        lines += [f"{path}: had {name} {there[name]}, here {here[name]}" for name in here if there[name] != here[name]]
        for number in new:
            self.net.separator.blocks[number].add_nothing()
            lines.append(f"{path}: has no block {number}, which adds nothing at first")
        if self.average is not None:
            self._set(self.average.averages, (weight.asnumpy() for weight in self.average.weights))
        return lines

    def of_optimizer(self):
        """Pairs of name and parameter: what the optimiser remembers beside the weights and its options."""
        weights = {id(parameter) for parameter in self.net.get_parameters()}
        memory = [p for p in self.step.optimizer.get_parameters() if id(p) not in weights]
        return [(f"optimizer.{p.name}", p) for p in memory if p.name.split(".")[-1] not in OPTIMIZER_OPTIONS]

    def of_average(self):
        """Pairs of name and parameter: the moving average of every weight, if there is one."""
        if self.average is None:
            return []
        names = {id(parameter): name for name, parameter in self.net.parameters_and_names()}
        pairs = zip(self.average.weights, self.average.averages, strict=True)
        return [(f"ema.{names[id(weight)]}", average) for weight, average in pairs]

    @contextmanager
    def averaged_weights(self):
        """The network with the moving average in place of its weights."""
        own = [weight.asnumpy().copy() for weight in self.average.weights]
        self._set(self.average.weights, (average.asnumpy() for average in self.average.averages))
        yield
        self._set(self.average.weights, own)

    @staticmethod
    def _set(parameters, values):
        for parameter, value in zip(parameters, values, strict=True):
            ops.assign(parameter, ms.Tensor(value))  # in place: compiled pieces hold on to the memory
