"""Train a Conv-TasNet on one NVIDIA GPU in minutes, and write its weights as convert.py --source asteroid reads them.

    python -m checkpoints.gpu_training.train --data data.npz --out run
    python -m checkpoints.gpu_training.train --data data.npz --out causal --minutes 3 --causal 1 --L 20 --H 256 --R 2 \\
        --validate_every 50 --seed 1

All of pack.py's file lies on the GPU, and every step draws new mixtures there. The run ends by itself before --minutes
have passed since its start, compiling included; the learning rate falls to its lowest just then. `--out` gets

    weights_ema.npz   the moving average of the weights, at each validation and at the end
    weights_best.npz  the one of those that was best on the validation mixtures
    log.jsonl         a line of figures for each validation
    result.json       the last of them; options, versions, card

Without a GPU it trains on the CPU, which only tests ask for.
"""

import json
import math
import os
import platform
import time
from collections.abc import Sequence

import numpy as np
import torch

from checkpoints.gpu_training.network import ConvTasNet, save_weights
from checkpoints.gpu_training.objective import improvement
from checkpoints.gpu_training.options import RATE, Network, Situations, Training, group, parse
from checkpoints.gpu_training.situations import Mixtures
from checkpoints.gpu_training.speech import Speech
from checkpoints.gpu_training.steps import Trainer, learning_rate
from common.errors import UserError, first_line, run
from common.files import make_folder, whole_text


def main(argv: Sequence[str] | None = None) -> None:
    began = time.monotonic()
    args = parse(__doc__, argv)
    make_folder(args.out)
    try:
        with np.load(args.data, allow_pickle=False) as file:
            data = dict(file)
    except (OSError, ValueError) as error:
        raise UserError(f"--data {args.data}: cannot be read ({first_line(error)}); make it with pack.py") from None
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(args.seed)
    net = ConvTasNet(group(Network, args)).to(device)
    speech = Speech(data, group(Situations, args), device)
    facts = {
        "options": vars(args),
        "parameters": sum(each.numel() for each in net.parameters()),
        "card": torch.cuda.get_device_name() if device.type == "cuda" else "none, CPU",
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
    }
    trainer = Trainer(net, Mixtures(speech, group(Situations, args)), group(Training, args))
    Run(trainer, Validation(data, device), args.out, facts, began).run(speech.described)


class Validation:
    """Validation mixtures on the device: pairs (mixture [T], sources [C, T]), and which of them are `noisy`."""

    def __init__(self, data: dict[str, np.ndarray], device: torch.device):
        tracks = torch.from_numpy(data["validation"]).to(device)
        parts = tracks.split(data["validation_lengths"].tolist(), 1)
        self.mixtures = [(part.sum(0), part[:2]) for part in parts]
        self.noisy = data["validation_noisy"]

    @torch.no_grad()
    def improvements(self, net: ConvTasNet) -> np.ndarray:
        """SI-SNR improvement in dB of each mixture, computed in float32."""
        found = [improvement(net(mixture[None])[0], mixture, sources) for mixture, sources in self.mixtures]
        return torch.stack(found).cpu().numpy()


class Run:
    """A run: its clock, its validations and its files in the folder `out`.

    `facts` is what result.json says beside the figures; `began` is the time by `time.monotonic` when the run began.
    """

    def __init__(self, trainer: Trainer, validation: Validation, out: str, facts: dict, began: float):
        self.trainer, self.validation, self.out, self.facts, self.began = trainer, validation, out, facts, began
        self.seconds = 60 * trainer.training.minutes
        self.reserve = min(10.0, self.seconds / 20)  # for the last validation and the files
        self.best = -math.inf
        self.reported = 0  # steps, when it was last reported

    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.began

    def run(self, described: str) -> None:
        """Train until the time is over."""
        trainer, training = self.trainer, self.trainer.training
        print(f"{self.facts['card']}: {self.facts['parameters']} parameters; {described}", flush=True)
        trainer.prepare()
        begun = self.since = self.elapsed()
        print(f"{trainer.M} mixtures of {trainer.T / RATE:g} s in a step; ready after {begun:.1f} s", flush=True)
        while (done := (self.elapsed() - begun) / max(self.seconds - self.reserve - begun, 1e-9)) < 1:
            trainer.step(learning_rate(training, done))
            if self.elapsed() - self.since > training.validate_every:
                self.validate(learning_rate(training, done))
        self.validate(learning_rate(training, 1.0))

    def validate(self, lr: float) -> None:
        """Measure the averaged weights, report, and write them."""
        trainer = self.trainer
        steps = trainer.steps - self.reported
        loss = trainer.mean_loss(steps)  # waits for the GPU
        before = self.elapsed()
        values = self.validation.improvements(trainer.average)
        took = self.elapsed() - before
        self.reserve = min(3 + 1.2 * took, self.seconds / 10)
        noisy = self.validation.noisy
        figures = {
            "seconds": round(self.elapsed(), 1),
            "steps": trainer.steps,
            "loss": round(loss, 3),
            "si_snr_improvement": round(float(values.mean()), 4),
            "standard_error": round(float(values.std() / math.sqrt(len(values))), 3),
            "clean": round(float(values[~noisy].mean()), 2),
            "noisy": round(float(values[noisy].mean()), 2),
            "lr": lr,
            "audio_seconds_a_second": round(steps * trainer.M * trainer.T / RATE / max(before - self.since, 1e-9)),
            "steps_left_out": int(trainer.left_out.item()),
            "gpu_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2) if trainer.on_gpu else None,
        }
        print("  ".join(f"{name} {value}" for name, value in figures.items()), flush=True)
        with open(os.path.join(self.out, "log.jsonl"), "a", encoding="utf-8") as file:
            file.write(json.dumps(figures) + "\n")
        save_weights(os.path.join(self.out, "weights_ema.npz"), trainer.average)
        if values.mean() > self.best:
            self.best = values.mean()
            save_weights(os.path.join(self.out, "weights_best.npz"), trainer.average)
        with whole_text(os.path.join(self.out, "result.json")) as file:
            json.dump(figures | {"best": round(float(self.best), 4)} | self.facts, file, indent=1)
        self.reported, self.since = trainer.steps, self.elapsed()


if __name__ == "__main__":
    run(main)
