"""Train Conv-TasNet.

    python train.py --train_dir index/tr --valid_dir index/cv --save_folder exp
    python train.py --config configs/paper.yaml --train_dir index/tr --valid_dir index/cv --save_folder exp

The same command again goes on where the run in the save folder stopped, be it in the middle of an epoch, and ends with
the weights that it would have had without the stop. training/run_folder.py says which files are in the folder. The loss
is the negative SI-SNR in dB, so it falls below zero as training goes well.
"""

import os
import time
from contextlib import nullcontext
from itertools import islice

from device import set_device

import mindspore as ms
import numpy as np

from common.command_line import parse
from common.errors import UserError, run
from corpus.bad_files import BadFiles
from corpus.dynamic_mixing import DynamicMixtures
from corpus.loading import load_index
from data import training_batches
from model import ConvTasNet, parameter_count
from network.checkpoint import average_weights, read_checkpoint, restore, write_checkpoint
from network.options import NetworkOptions
from network.precision import loss_scaler, set_precision
from network_define import MovingAverage, NetWithLoss, TrainingStep, make_optimizer
from training.progress import EpochBar, Watch
from training.ranks import join
from training.run_folder import best_epochs, drop_old, epoch_file, locked, write_config
from training.run_state import State
from training.schedule import check_training, learning_rate, why_over
from training.validation import Validation, fill_up


def main(argv=None):
    args = parse(__doc__, "training_data", "data", "network", "training", "device", argv=argv)
    check_training(args)
    device = set_device(args.device_target, args.device_id)
    ranks = join(args.distribute)
    with locked(args.save_folder) if ranks.is_first else nullcontext():
        ranks.wait()  # until the folder is made and locked
        train_index = load_index(args.train_dir, args.sample_rate)
        valid_index = load_index(args.valid_dir, args.sample_rate)
        for index in (train_index, valid_index):
            index.require_sources(args.C, "--C is")
        training = Training(args, device, ranks, train_index, valid_index)
        training.begin()
        say = training.watch.say
        say(f"device:     {ranks.count} x {device}, MindSpore {ms.__version__}, numpy {np.__version__}")
        say(f"network:    {parameter_count(training.net)} parameters, {training.net.options}")
        say(f"training:   {training.train_index.describe(args.segment)}")
        say(f"validation: {valid_index.describe(cv_maxlen=args.cv_maxlen)}")
        training.run()


class Training:
    """A run of training.

    Args:
        args: options of the groups "training_data", "data", "network", "training" and "device" of config.py.
        device: where it runs, as `set_device` returned it.
        ranks: training.ranks.Ranks.
        train_index, valid_index: a corpus.index.Index.
    """

    def __init__(self, args, device, ranks, train_index, valid_index):
        self.args, self.ranks, self.train_index = args, ranks, train_index
        if args.dynamic_mixing:
            self.train_index = DynamicMixtures(train_index, args.seed, args.speed_change)
        # Each rank reads other files, so that each has a list of its own.
        bad_files = f"bad_files_{ranks.number}.txt" if ranks.number else "bad_files.txt"
        self.bad_files = BadFiles(args.on_bad_file, self.path(bad_files))
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
        self.validate = Validation(self.net, valid_index, args, ranks, self.bad_files)
        self.steps_an_epoch = -(-len(self.batches(0)) // args.accumulate)

    def begin(self):
        """Go on from where the folder's run, or that of --continue_from, stopped, or else begin with --init_from.

        Raises UserError if these options cannot go on from it.
        """
        args = self.args
        self.best, self.best_average = (self.best_loss_in(name) for name in ("best.ckpt", "ema.ckpt"))
        path = self.checkpoint_to_continue()
        lines = []
        if path:
            lines = self.state.read(path)
        elif args.init_from:
            lines = self.state.begin_with(args.init_from)
        self.watch = Watch(args.save_folder, self.ranks.is_first, args.tensorboard, self.steps_done())
        for line in lines:
            self.watch.say(line)
        if self.ranks.is_first:
            write_config(args.save_folder, vars(args))
        self.watch.show(self.state.history)

    def path(self, name):
        return os.path.join(self.args.save_folder, name)

    def steps_done(self):
        return len(self.state.history) * self.steps_an_epoch + self.state.epoch["steps"]

    def best_loss_in(self, name):
        """The validation loss of a checkpoint in the folder; infinity if there is none."""
        if not os.path.exists(self.path(name)):
            return float("inf")
        history = read_checkpoint(self.path(name)).progress["history"]
        return history[-1]["ema_valid_loss" if name == "ema.ckpt" else "valid_loss"]

    def checkpoint_to_continue(self):
        """last.ckpt of the folder, or else --continue_from, or None.

        Raises UserError if the folder holds a run that did not begin from --continue_from or --init_from, as given.
        """
        args, last = self.args, self.path("last.ckpt")
        if not os.path.exists(last):
            return args.continue_from
        name = "continue_from" if args.continue_from else "init_from"  # never both: check_training
        given = getattr(args, name)
        if given and os.path.realpath(given) != os.path.realpath(last):
            began = read_checkpoint(last).progress.get("options", {})
            if began.get(name) != given:
                raise UserError(
                    f"--save_folder {args.save_folder}: holds a run already, which --{name} {given} would write over;"
                    " leave that out to go on, or choose another folder"
                )
        return last

    def run(self):
        """Train until the options say that it is over, or the time is, validating and saving after each epoch."""
        self.deadline = time.monotonic() + 60 * (self.args.max_minutes or float("inf"))
        while not (reason := why_over(self.args, self.state.valid_losses)):
            self.train_epoch()
            self.end_epoch()
            if self.time_is_over():
                reason = f"ended after {self.args.max_minutes:g} minutes (--max_minutes)"
                break
        self.watch.say(reason)
        if self.args.average_best:
            self.average_best()

    def time_is_over(self):
        return bool(self.args.max_minutes) and self.ranks.any(time.monotonic() > self.deadline)

    def batches(self, first, share=None):
        """The training batches of this epoch from `first` on; `share` of them (default: this rank's)."""
        args, epoch, share = self.args, len(self.state.history), share or self.ranks.share
        return training_batches(
            self.train_index,
            args.batch_size * self.ranks.count // share[1],
            args.segment,
            args.shuffle,
            args.seed,
            epoch,
            args.num_workers,
            share,
            first,
            self.bad_files,
        )

    def train_epoch(self):
        """Train on what is left of this epoch, as far as there is time, saving on the way."""
        args, state = self.args, self.state
        before, began = state.epoch["seconds"], time.monotonic()
        self.step.set_train()
        with EpochBar(self.watch, len(state.history), self.steps_an_epoch, state.epoch["steps"]) as bar:
            for group in self.groups_of_batches():
                rate = learning_rate(args, state.valid_losses, self.steps_done(), args.epochs * self.steps_an_epoch)
                self.step.learning_rate = state.epoch["lr"] = rate
                loss, taken = self.step(*group)
                lengths = np.concatenate([batch[1].asnumpy() for batch in group])
                mixtures, samples = self.ranks.sum((lengths > 0).sum(), lengths.sum())
                state.epoch["steps"] += 1
                if taken:
                    state.epoch["loss"] += loss * mixtures
                    state.epoch["mixtures"] += mixtures
                    state.bad_steps = 0
                    if self.average is not None:
                        self.average.follow(self.steps_done())
                else:
                    self.skip(loss)
                state.epoch["seconds"] = before + time.monotonic() - began
                bar.step(loss, state.mean_loss, rate, samples / args.sample_rate, self.steps_done())
                if args.save_every and state.epoch["steps"] % args.save_every == 0:
                    self.save("last.ckpt")
                if self.time_is_over():
                    break
            self.speed = bar.speed

    def groups_of_batches(self):
        """What is left of this epoch: tuples of the --accumulate batches of a step."""
        done = self.state.epoch["steps"]
        if done == self.steps_an_epoch:
            return
        batches = self.batches(done * self.args.accumulate)
        filled = (fill_up(batch, batches.rows) for batch in batches)
        while group := tuple(islice(filled, self.args.accumulate)):
            yield group

    def skip(self, loss):
        """Count a step that was not taken. Raises UserError if there were too many in a row."""
        state, args = self.state, self.args
        state.epoch["skipped"] += 1
        state.bad_steps += 1
        batches = self.batches((state.epoch["steps"] - 1) * args.accumulate, share=(0, 1))
        utterances = batches.order[: batches.rows * args.accumulate]
        files = map(self.train_index.name, utterances)
        self.watch.say(
            f"epoch {len(state.history) + 1}, step {state.epoch['steps']}: skipped, since its"
            f" {'gradient' if np.isfinite(loss) else 'loss'} is not finite; its files: {', '.join(files)}"
        )
        if state.bad_steps >= args.max_bad_steps:
            raise UserError(
                f"{state.bad_steps} steps in a row without a finite loss and gradient (--max_bad_steps); the last good"
                f" checkpoint is in {args.save_folder}: look at the files that train.log names, lower --lr or"
                " --max_norm, and go on"
            )

    def end_epoch(self):
        """Validate, save and tell."""
        state = self.state
        began = time.monotonic()
        self.share_averages()
        loss = self.validate()
        entry = {
            "epoch": len(state.history) + 1,
            "steps": state.epoch["steps"],
            "skipped": state.epoch["skipped"],
            "lr": state.epoch["lr"],
            "train_loss": state.mean_loss,
            "valid_loss": loss,
            "valid_si_snri": self.validate.improvement(loss),
        }
        if self.average is not None:
            with state.averaged_weights():
                entry["ema_valid_loss"] = self.validate()
            entry["ema_valid_si_snri"] = self.validate.improvement(entry["ema_valid_loss"])
        entry["seconds"] = round(state.epoch["seconds"] + time.monotonic() - began, 1)
        state.history.append(entry)
        state.begin_epoch()
        best = " (best)" if loss < self.best else ""
        averaged = f" ({entry['ema_valid_si_snri']:.2f} with averaged weights)" if self.average is not None else ""
        skipped = f", {entry['skipped']} skipped" if entry["skipped"] else ""
        if self.bad_files.skipped:
            skipped += f", {self.bad_files.skipped} examples left out so far ({self.bad_files.path} lists their files)"
        self.watch.say(
            f"epoch {entry['epoch']}: training loss {entry['train_loss']:.2f}, validation loss {loss:.2f} dB{best},"
            f" SI-SNR improvement {entry['valid_si_snri']:.2f} dB{averaged}, {entry['steps']} steps{skipped} at"
            f" {self.speed:.1f} s of audio/s, lr {entry['lr']:.3g}, {entry['seconds']:.0f} s"
        )
        self.save_epoch(entry)
        self.watch.show(state.history)

    def save_epoch(self, entry):
        """Write the checkpoints of an epoch. last.ckpt comes last: a run killed before it ends the epoch again."""
        args = self.args
        if args.keep_checkpoint_max or args.average_best:
            self.save(epoch_file(entry["epoch"]))
        if entry["valid_loss"] < self.best:
            self.best = entry["valid_loss"]
            self.save("best.ckpt")
        if entry.get("ema_valid_loss", float("inf")) < self.best_average:
            self.best_average = entry["ema_valid_loss"]
            with self.state.averaged_weights():
                self.save("ema.ckpt")
        self.save("last.ckpt")
        if self.ranks.is_first:
            drop_old(args.save_folder, self.state.valid_losses, args.keep_checkpoint_max, args.average_best)

    def save(self, name):
        self.share_averages()
        if self.ranks.is_first:
            self.state.write(self.path(name))

    def share_averages(self):
        """BN's running averages, which each rank keeps of its own batches, become their mean."""
        self.ranks.mean_of([parameter for parameter in self.net.get_parameters() if not parameter.requires_grad])

    def average_best(self):
        """Write average.ckpt, the mean of the best epochs' weights, and say how good it is."""
        epochs = best_epochs(self.state.valid_losses, self.args.average_best)
        paths = [self.path(epoch_file(epoch)) for epoch in epochs]
        paths = [path for path in paths if os.path.exists(path)]  # those of --continue_from are in its folder
        if not paths:
            return
        restore(self.net.parameters_and_names(), average_weights(paths), paths[0])
        loss = self.validate()
        if self.ranks.is_first:
            write_checkpoint(self.path("average.ckpt"), self.net, {"valid_loss": loss})
        self.watch.say(
            f"mean of the best {len(paths)} epochs: validation loss {loss:.2f} dB, SI-SNR improvement"
            f" {self.validate.improvement(loss):.2f} dB"
        )


if __name__ == "__main__":
    run(main)
