"""Train Conv-TasNet.

    python train.py --train_dir index/tr --valid_dir index/cv --save_folder exp
    python train.py --config configs/paper.yaml --train_dir index/tr --valid_dir index/cv --save_folder exp

The same command again goes on where the run in the save folder stopped, be it in the middle of an epoch, and ends with
the weights that it would have had without the stop. training/run_folder.py says which files are in the folder. The loss
is the negative SI-SNR in dB, so it falls below zero as training goes well.
"""

from common.signals import end_at_signals

if __name__ == "__main__":
    end_at_signals()  # what follows takes seconds

import argparse
import os
import time
from collections.abc import Sequence
from contextlib import nullcontext

from device import set_device

import mindspore as ms
import numpy as np

from common.command_line import parse
from common.errors import UserError, run
from corpus.bad_files import BadFiles
from corpus.dynamic_mixing import DynamicMixtures
from corpus.index import Index
from corpus.loading import load_index
from model import ConvTasNet
from network.options import NetworkOptions, parameter_count
from network.precision import loss_scaler, set_precision
from network_define import MovingAverage, NetWithLoss, TrainingStep, make_optimizer
from training.checkpoints import Checkpoints
from training.progress import EpochBar, Watch, epoch_line
from training.ranks import Ranks, join_ranks
from training.run_folder import locked, write_config
from training.run_state import EpochProgress, State
from training.schedule import check_training, learning_rate, why_over
from training.steps import Steps
from training.validation import Validation


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(__doc__, "training_data", "data", "network", "training", "device", argv=argv)
    check_training(args)
    device = set_device(args.device_target, args.device_id, args.jit_level, args.hf32)
    ranks = join_ranks(args.distribute)
    with locked(args.save_folder) if ranks.is_first else nullcontext():
        ranks.wait()  # until the folder is made and locked
        train_index = load_index(args.train_dir, args.sample_rate)
        valid_index = load_index(args.valid_dir, args.sample_rate)
        for index in (train_index, valid_index):
            index.require_sources(args.C, "--C is")
        training = Training(args, device, ranks, train_index, valid_index)
        training.watch.log(
            f"device:     {ranks.count} x {device}, MindSpore {ms.__version__}, numpy {np.__version__}",
            f"network:    {parameter_count(training.net)} parameters, {training.net.options}",
            f"training:   {training.steps.index.describe(args.segment)}",
            f"validation: {valid_index.describe(cv_maxlen=args.cv_maxlen)}",
        )
        training.run()


class Training:
    """A run of training, which goes on from where the folder's run stopped.

    Args:
        args: options of the groups "training_data", "data", "network", "training" and "device" of config.py.
        device: where it runs, as `set_device` returned it.
        ranks: the processes of the run.
        train_index, valid_index: the mixtures of either set.

    Raises UserError if the options cannot go on from what the folder holds.
    """

    def __init__(self, args: argparse.Namespace, device: str, ranks: Ranks, train_index: Index, valid_index: Index):
        self.args, self.ranks = args, ranks
        self.net = ConvTasNet(NetworkOptions.of(args), args.sample_rate, args.seed)
        set_precision(self.net, args.amp_level, args.amp_type, device)
        weights = self.net.trainable_params()
        optimizer = make_optimizer(weights, args.optimizer, args.lr, args.l2, args.momentum)
        scaler = loss_scaler(args.amp_level, args.amp_type)
        self.step = TrainingStep(NetWithLoss(self.net), optimizer, args.max_norm, ranks.count, scaler)
        self.average = MovingAverage(weights, args.ema) if args.ema else None
        train_set = [len(train_index), int(train_index.lengths.sum())]
        options = vars(args) | {"ranks": ranks.count, "train_set": train_set}
        self.state = State(self.net, self.step, self.average, options)

        # Each rank reads other files, so that each has a list of its own.
        bad_files = f"bad_files_{ranks.number}.txt" if ranks.number else "bad_files.txt"
        self.bad_files = BadFiles(args.on_bad_file, os.path.join(args.save_folder, bad_files))
        self.validate = Validation(self.net, valid_index, args, ranks, self.bad_files)
        if args.dynamic_mixing:
            train_index = DynamicMixtures(train_index, args.seed, args.speed_change)
        self.steps = Steps(train_index, args, ranks, self.bad_files)

        self.checkpoints = Checkpoints(args, self.state, ranks)
        began_with = self.checkpoints.begin()
        self.watch = Watch(args.save_folder, ranks.is_first, args.tensorboard, self.steps_done())
        self.watch.log(*began_with)
        if ranks.is_first:
            write_config(args.save_folder, vars(args))
        self.watch.record(self.state.history)
        self.deadline = time.monotonic() + 60 * (args.max_minutes or float("inf"))

    def steps_done(self) -> int:
        """Steps of all epochs so far."""
        return len(self.state.history) * self.steps.an_epoch + self.state.epoch.steps

    def time_is_over(self) -> bool:
        """Whether --max_minutes are over on any rank."""
        return bool(self.args.max_minutes) and self.ranks.any(time.monotonic() > self.deadline)

    def run(self) -> None:
        """Train until the options say that it is over, or the time is, validating and saving after each epoch."""
        while not (reason := why_over(self.args, self.state.valid_losses)):
            speed = self.train_epoch()
            self.end_epoch(speed)
            if self.time_is_over():
                reason = f"ended after {self.args.max_minutes:g} minutes (--max_minutes)"
                break
        self.watch.log(reason)
        if self.args.average_best:
            self.watch.log(*self.checkpoints.save_mean_of_best(self.validate))

    def train_epoch(self) -> float:
        """Train on what is left of this epoch, as far as there is time, saving on the way.

        Returns the speed, in seconds of audio a second.
        """
        args, state, epoch, number = self.args, self.state, self.state.epoch, len(self.state.history)
        before, began = epoch.seconds, time.monotonic()
        self.step.set_train()
        with EpochBar(self.watch, number, self.steps.an_epoch, epoch.steps) as bar:
            for batches in self.steps.of_epoch(number, epoch.steps):
                epoch.lr = learning_rate(args, state.valid_losses, self.steps_done(), args.epochs * self.steps.an_epoch)
                self.step.learning_rate = epoch.lr
                loss, taken = self.step(*batches)
                lengths = np.concatenate([lengths.asnumpy() for _, lengths, _ in batches])
                mixtures, samples = self.ranks.sum((lengths > 0).sum(), lengths.sum())
                epoch.steps += 1
                if taken:
                    epoch.loss += loss * mixtures
                    epoch.mixtures += mixtures
                    state.bad_steps = 0
                    if self.average is not None:
                        self.average.follow(self.steps_done())
                else:
                    self.skip(loss)
                epoch.seconds = before + time.monotonic() - began
                bar.step(loss, epoch.mean_loss, epoch.lr, samples / args.sample_rate, self.steps_done())
                self.checkpoints.save_within_epoch()
                if self.time_is_over():
                    break
            return bar.speed

    def skip(self, loss: float) -> None:
        """Count a step that was not taken. Raises UserError if there were too many in a row."""
        state, args, number = self.state, self.args, len(self.state.history)
        state.epoch.skipped += 1
        state.bad_steps += 1
        names = self.steps.names(number, state.epoch.steps - 1)
        self.watch.log(
            f"epoch {number + 1}, step {state.epoch.steps}: skipped, since its"
            f" {'gradient' if np.isfinite(loss) else 'loss'} is not finite; its files: {', '.join(names)}"
        )
        if state.bad_steps >= args.max_bad_steps:
            raise UserError(
                f"{state.bad_steps} steps in a row without a finite loss and gradient (--max_bad_steps); the last good"
                f" checkpoint is in {args.save_folder}: look at the files that train.log names, lower --lr or"
                " --max_norm, and go on"
            )

    def end_epoch(self, speed: float) -> None:
        """Validate, save and report."""
        state, progress = self.state, self.state.epoch
        began = time.monotonic()
        self.ranks.share_running_averages(self.net)
        is_known = self.validate.left_out is not None
        loss = self.validate()
        if self.validate.left_out and not is_known:
            self.watch.log(
                f"validation: {self.validate.left_out} mixtures are silent or have a silent source, and are left out"
            )
        epoch = {
            "epoch": len(state.history) + 1,
            "steps": progress.steps,
            "skipped": progress.skipped,
            "lr": progress.lr,
            "train_loss": progress.mean_loss,
            "valid_loss": loss,
            "valid_si_snri": self.validate.improvement(loss),
        }
        if self.average is not None:
            with self.average.in_place_of_weights():
                epoch["ema_valid_loss"] = self.validate()
            epoch["ema_valid_si_snri"] = self.validate.improvement(epoch["ema_valid_loss"])
        epoch["seconds"] = round(progress.seconds + time.monotonic() - began, 1)
        state.history.append(epoch)
        state.epoch = EpochProgress()
        self.watch.log(epoch_line(epoch, loss < self.checkpoints.best_loss, speed, self.bad_files))
        self.checkpoints.save_epoch()
        self.watch.record(state.history)


if __name__ == "__main__":
    run(main)
