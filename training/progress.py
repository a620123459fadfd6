"""What a person sees of a training run: lines and a progress bar, train.log, history.jsonl, curves.png, TensorBoard."""

import json
import os
import sys
import time
from collections.abc import Sequence

from matplotlib.figure import Figure
from tqdm import tqdm

from common.files import whole_file, whole_text, writing
from common.wording import duration, printable
from corpus.bad_files import BadFiles
from training.events import Events

SECONDS_BETWEEN_LINES = 60  # where the output is a file and not a terminal
STEPS_TO_ESTIMATE = 10


class Watch:
    """Reports on a run. Does nothing on all ranks but the first.

    Args:
        folder: of the run; lines are added to train.log in it.
        is_first: whether this is the first rank.
        tensorboard: whether to write TensorBoard events into folder/tensorboard.
        step: steps that are done, so that later events of a run that was killed are left out.

    Raises UserError if TensorBoard's writer is not installed.
    """

    def __init__(self, folder: str, is_first: bool, tensorboard: bool = False, step: int = 0):
        self.folder, self.is_first, self.events = folder, is_first, None
        self.has_estimated = False
        if tensorboard and is_first:
            self.events = Events(os.path.join(folder, "tensorboard"), step)

    def log(self, *lines: str) -> None:
        """Print lines and add them to train.log with the time."""
        if not (self.is_first and lines):
            return
        lines = [printable(line) for line in lines]
        tqdm.write("\n".join(lines))
        sys.stdout.flush()
        path = os.path.join(self.folder, "train.log")
        with writing(path), open(path, "a", encoding="utf-8") as file:
            file.writelines(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {line}\n" for line in lines)

    def record(self, history: Sequence[dict]) -> None:
        """Write history.jsonl and draw curves.png anew, and hand the last epoch to TensorBoard."""
        if not (self.is_first and history):
            return
        with whole_text(os.path.join(self.folder, "history.jsonl")) as file:
            file.writelines(json.dumps(epoch) + "\n" for epoch in history)
        with whole_file(os.path.join(self.folder, "curves.png")) as partial:
            draw_curves(history).savefig(partial, dpi=100)
        if self.events is not None:
            epoch = {f"epoch/{name}": value for name, value in history[-1].items() if name != "epoch"}
            self.events.add(epoch, len(history))
            self.events.flush()


class EpochBar:
    """Progress of an epoch: on a terminal a bar, in a file a line a minute. Use it in a `with` statement.

    Args:
        watch: what the run is reported by.
        epoch: number of the epoch, from 0.
        steps: steps that it has.
        done: those of them that are done.
    """

    def __init__(self, watch: Watch, epoch: int, steps: int, done: int):
        self.watch, self.epoch, self.steps, self.done = watch, epoch, steps, done
        self.bar = tqdm(
            desc=f"epoch {epoch + 1}",
            unit="step",
            total=steps,
            initial=done,
            disable=None if watch.is_first else True,
            leave=False,
        )
        self.here = 0  # steps since this process began the epoch
        self.seconds_of_audio, self.began, self.last_line = 0.0, None, time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.bar.close()

    @property
    def speed(self) -> float:
        """Seconds of audio a second, without the first step, which compiles the network."""
        return self.seconds_of_audio / max(time.monotonic() - self.began, 1e-9) if self.began else 0.0

    def step(self, loss: float, mean_loss: float, lr: float, seconds_of_audio: float, step: int) -> None:
        """A step is done: its loss, the epoch's mean loss, learning rate, audio and number in the whole run."""
        now = time.monotonic()
        self.here += 1
        self.done += 1
        self.bar.update()
        if self.began is None:
            self.began = now
        else:
            self.seconds_of_audio += seconds_of_audio
        state = f"loss {mean_loss:.2f}, SI-SNR {-loss:.2f} dB, lr {lr:.3g}, {self.speed:.1f} s of audio/s"
        self.bar.set_postfix_str(state)
        seconds_a_step = (now - self.began) / max(self.here - 1, 1)
        if self.here == STEPS_TO_ESTIMATE and not self.watch.has_estimated:
            self.watch.has_estimated = True
            self.watch.log(
                f"an epoch takes about {duration(self.steps * seconds_a_step)}, {seconds_a_step:.2f} s a step"
            )
        if self.bar.disable and self.watch.is_first and now - self.last_line > SECONDS_BETWEEN_LINES:
            left = f", {duration((self.steps - self.done) * seconds_a_step)} left" if self.here > 1 else ""
            print(f"epoch {self.epoch + 1}, step {self.done} of {self.steps}: {state}{left}", flush=True)
            self.last_line = now
        if self.watch.events is not None:
            self.watch.events.add({"step/loss": loss, "step/lr": lr}, step)


def epoch_line(epoch: dict, is_best: bool, speed: float, bad_files: BadFiles) -> str:
    """An epoch of the history in a line, with its speed in seconds of audio a second."""
    best = " (best)" if is_best else ""
    averaged = f" ({epoch['ema_valid_si_snri']:.2f} with averaged weights)" if "ema_valid_si_snri" in epoch else ""
    skipped = f", {epoch['skipped']} skipped" if epoch["skipped"] else ""
    if bad_files.skipped:
        skipped += f", {bad_files.skipped} examples left out so far ({bad_files.path} lists their files)"
    return (
        f"epoch {epoch['epoch']}: training loss {epoch['train_loss']:.2f}, validation loss {epoch['valid_loss']:.2f}"
        f" dB{best}, SI-SNR improvement {epoch['valid_si_snri']:.2f} dB{averaged}, {epoch['steps']} steps{skipped} at"
        f" {speed:.1f} s of audio/s, lr {epoch['lr']:.3g}, {epoch['seconds']:.0f} s"
    )


def draw_curves(history: Sequence[dict]) -> Figure:
    """Draw the loss and the SI-SNR improvement over the epochs of a history."""
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = range(1, len(history) + 1)
    curves = {"training": (left, "train_loss"), "validation": (left, "valid_loss"), "weights": (right, "valid_si_snri")}
    curves |= {"validation, moving average": (left, "ema_valid_loss"), "moving average": (right, "ema_valid_si_snri")}
    for label, (axes, name) in curves.items():
        if name in history[-1]:
            axes.plot(epochs, [epoch.get(name, float("nan")) for epoch in history], marker=".", label=label)
    left.set_ylabel("loss (negative SI-SNR), dB")
    right.set_ylabel("validation SI-SNR improvement, dB")
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    return figure
