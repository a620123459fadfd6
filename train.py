"""Train Conv-TasNet.

    python train.py --train_dir index/tr --valid_dir index/cv --save_folder exp
    python train.py --train_dir index/tr --valid_dir index/cv --save_folder exp --continue_from exp/last.ckpt

After each epoch the validation set is separated whole, and the save folder gets last.ckpt and, when the validation
loss is the lowest so far, best.ckpt. The loss is the negative SI-SNR in dB, so it falls below zero as training goes
well. A run that goes on from a checkpoint takes the weights, the optimiser's state and the history from there; the
options are given again, and the network's must be the same.
"""

import math
import os
import time

from device import set_device

import mindspore as ms
import numpy as np
from tqdm import tqdm

from badfiles import BadFiles
from checkpoint import read_checkpoint, restore, write_checkpoint
from config import NetworkOptions, parse, require_positive
from data import describe, load_index, training_batches, utterance_batches
from dynamic import DynamicMixtures, check_dynamic_mixing
from errors import UserError, run
from model import ConvTasNet, parameter_count
from network_define import NetWithLoss, TrainingStep, make_optimizer

SECONDS_BETWEEN_LINES = 60  # where the output is a file and not a terminal
OPTIMIZER_OPTIONS = ("learning_rate", "momentum")  # parameters of MindSpore's optimisers that --lr, --momentum decide


def main(argv=None):
    args = parse(__doc__, "training_data", "data", "network", "training", "device", argv=argv)
    check(args)
    device = set_device(args.device_target, args.device_id)
    train_index = load_index(args.train_dir, args.sample_rate)
    valid_index = load_index(args.valid_dir, args.sample_rate)
    for path, index in ((args.train_dir, train_index), (args.valid_dir, valid_index)):
        if index.speakers != args.C:
            raise UserError(f"{path}: {index.speakers} sources in a mixture, but --C is {args.C}; make them agree")
    if args.dynamic_mixing:
        train_index = DynamicMixtures(train_index, args.seed, args.speed_change)
    training = Training(args)
    print(f"device:     {device}, MindSpore {ms.__version__}")
    print(f"network:    {parameter_count(training.net)} parameters, {training.net.options}")
    print(f"training:   {describe(train_index, args.segment)}")
    print(f"validation: {describe(valid_index, cv_maxlen=args.cv_maxlen)}")
    training.run(train_index, valid_index)


def check(args):
    """Raise UserError for options that make no sense, and make the save folder."""
    require_positive(args, "sample_rate", "cv_maxlen", "batch_size", "epochs", "lr")
    for name in ("l2", "max_norm", "max_minutes", "seed"):
        if not 0 <= getattr(args, name) < math.inf:
            raise UserError(f"--{name} {getattr(args, name)}: must be a number, 0 or more")
    check_dynamic_mixing(args)
    if not 0 <= args.momentum < 1:
        raise UserError(f"--momentum {args.momentum}: must be at least 0 and below 1")
    if args.momentum and args.optimizer != "sgd":
        raise UserError(f"--momentum {args.momentum}: adam has its own; take --optimizer sgd, or leave it out")
    try:
        os.makedirs(args.save_folder, exist_ok=True)
    except OSError as error:
        raise UserError(f"--save_folder {args.save_folder}: cannot be made ({error})") from None
    if not os.access(args.save_folder, os.W_OK):
        raise UserError(f"--save_folder {args.save_folder}: cannot be written to; choose another")
    last = os.path.join(args.save_folder, "last.ckpt")
    own = args.continue_from and os.path.dirname(os.path.realpath(args.continue_from))
    if os.path.exists(last) and own != os.path.realpath(args.save_folder):
        raise UserError(
            f"--save_folder {args.save_folder}: holds a run already; go on with --continue_from {last}, or choose"
            " another folder"
        )


class Training:
    """A network, its optimiser and how far they have come.

    Args:
        args: options of the groups "training_data", "data", "network" and "training" of config.py.

    Raises UserError if `args.continue_from` is not a checkpoint of such a run.
    """

    def __init__(self, args):
        self.args = args
        self.net = ConvTasNet(NetworkOptions.of(args), args.sample_rate, args.seed)
        net_with_loss = NetWithLoss(self.net)
        # One cell for each mode: switching one between them would compile it anew every epoch.
        self.validation = NetWithLoss(self.net)
        optimizer = make_optimizer(self.net.trainable_params(), args.optimizer, args.lr, args.l2, args.momentum)
        self.step = TrainingStep(net_with_loss, optimizer, args.max_norm)
        self.history = []  # one dict an epoch
        self.bad_files = BadFiles(args.on_bad_file, os.path.join(args.save_folder, "bad_files.txt"))
        if args.continue_from:
            self.resume(args.continue_from)

    def resume(self, path):
        """Take the weights, the optimiser's state and the history from a checkpoint."""
        checkpoint = read_checkpoint(path)
        self.history = checkpoint.progress.get("history", [])
        if not self.history:
            raise UserError(f"--continue_from {path}: not from a training run; take the last.ckpt of one")
        if len(self.history) >= self.args.epochs:
            raise UserError(f"--epochs {self.args.epochs}: {path} has {len(self.history)} behind it; ask for more")
        if checkpoint.options != self.net.options or checkpoint.sample_rate != self.net.sample_rate:
            raise UserError(
                f"--continue_from {path}: its network is {checkpoint.options} at {checkpoint.sample_rate} Hz, but the"
                f" options ask for {self.net.options} at {self.net.sample_rate} Hz; give the same options"
            )
        restore(self.net.parameters_and_names(), checkpoint.parameters, path)
        restore(self.optimizer_state(), checkpoint.parameters, path)

    def optimizer_state(self):
        """Pairs of name and parameter: what the optimiser remembers beside the weights and its options."""
        weights = {id(parameter) for parameter in self.net.get_parameters()}
        state = [p for p in self.step.optimizer.get_parameters() if id(p) not in weights]
        return [(f"optimizer.{p.name}", p) for p in state if p.name.split(".")[-1] not in OPTIMIZER_OPTIONS]

    def run(self, train_index, valid_index):
        """Train up to the last epoch, or until the time is over, validating and saving after each."""
        args = self.args
        self.deadline = time.monotonic() + 60 * (args.max_minutes or float("inf"))
        valid_batches = utterance_batches(
            valid_index, args.batch_size, args.num_workers, args.cv_maxlen, self.bad_files
        )
        for epoch in range(len(self.history), args.epochs):
            began = time.monotonic()
            train_loss, steps, speed = self.train_epoch(train_index, epoch)
            valid_loss = self.validate(valid_batches)
            require_finite(valid_loss, f"validation after epoch {epoch + 1}")
            best = min((past["valid_loss"] for past in self.history), default=float("inf"))
            seconds = time.monotonic() - began
            self.history.append(
                {"steps": steps, "train_loss": train_loss, "valid_loss": valid_loss, "seconds": round(seconds, 1)}
            )
            self.save("last.ckpt")
            if valid_loss < best:
                self.save("best.ckpt")
            print(
                f"epoch {epoch + 1}: training loss {train_loss:.2f}, validation loss {valid_loss:.2f} dB"
                f"{' (best)' if valid_loss < best else ''}, {steps} steps at {speed:.1f} s of audio/s, {seconds:.0f} s",
                flush=True,
            )
            if self.bad_files.skipped:
                print(f"skipped {self.bad_files.skipped} examples so far; {self.bad_files.path} lists their files")
            if time.monotonic() > self.deadline:
                print(f"ended after {args.max_minutes:g} minutes (--max_minutes)")
                break

    def train_epoch(self, index, epoch):
        """Train on every example once, as far as there is time.

        Returns the mean loss in dB, the number of steps and the seconds of audio that a second went through. Raises
        UserError once a loss is not finite.
        """
        args = self.args
        batches = training_batches(
            index, args.batch_size, args.segment, args.shuffle, args.seed, epoch, args.num_workers, self.bad_files
        )
        self.step.set_train()
        losses, counts, seconds = [], [], 0.0
        began, last_line = None, time.monotonic()
        with tqdm(batches, desc=f"epoch {epoch + 1}", unit="step", disable=None, leave=False) as progress:
            for batch in progress:
                losses.append(float(self.step(*fill_up(batch, batches.rows)).asnumpy()))
                counts.append(len(batch[0]))
                require_finite(losses[-1], f"step {len(losses)} of epoch {epoch + 1}")
                now = time.monotonic()
                if began is None:
                    began = now  # the first step compiles the network, so the speed is that of the others
                else:
                    seconds += float(batch[1].asnumpy().sum()) / args.sample_rate
                loss, speed = float(np.average(losses, weights=counts)), seconds / max(now - began, 1e-9)
                state = f"loss {loss:.2f} dB, {speed:.1f} s of audio/s"
                progress.set_postfix_str(state)
                if progress.disable and now - last_line > SECONDS_BETWEEN_LINES:
                    print(f"epoch {epoch + 1}, step {len(losses)} of {len(batches)}: {state}", flush=True)
                    last_line = now
                if now > self.deadline:
                    break
        return loss, len(losses), speed

    def validate(self, batches):
        """Mean loss in dB over the validation set's utterances, each separated whole."""
        self.validation.set_train(False)
        losses, counts = [], []
        for batch in tqdm(batches, desc="validating", unit="batch", disable=None, leave=False):
            losses.append(float(self.validation(*fill_up(batch, batches.rows)).asnumpy()))
            counts.append(len(batch[0]))
        return float(np.average(losses, weights=counts))

    def save(self, name):
        """Write a checkpoint that `resume` takes up."""
        path = os.path.join(self.args.save_folder, name)
        write_checkpoint(path, self.net, {"history": self.history}, self.optimizer_state())


def require_finite(loss, where):
    """Raise UserError before a network that is beyond repair is saved."""
    if not np.isfinite(loss):
        raise UserError(f"{where}: the loss is {loss}; lower --lr or --max_norm and go on from the last checkpoint")


def fill_up(batch, batch_size):
    """Fill a smaller last batch up with silence of length 0, which the loss leaves out: a new shape would be compiled.

    Takes and returns mixture [M, T], lengths [M] and sources [M, C, T].
    """
    missing = batch_size - len(batch[0])
    if missing == 0:
        return batch
    return tuple(ms.Tensor(np.pad(column.asnumpy(), [(0, missing)] + [(0, 0)] * (column.ndim - 1))) for column in batch)


if __name__ == "__main__":
    run(main)
