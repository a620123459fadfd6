"""The optimiser, the moving average of the weights, and a step of training as one CUDA graph."""

import math
from collections.abc import Callable

import torch

from checkpoints.gpu_training.fast import Functions
from checkpoints.gpu_training.network import ConvTasNet
from checkpoints.gpu_training.options import RATE, Training
from checkpoints.gpu_training.situations import Mixtures

FRAMES = 64  # that those of a mixture are multiples of, which GPUs like


class Trainer:
    """Trains a network, which is on the device already.

    Attributes: `average`, the moving average of its weights as a network; `M`, `T`, the shape of the mixtures of a
    step; `steps`, those that were made; `left_out`, how many of them had a gradient that is not finite.
    """

    def __init__(self, net: ConvTasNet, mixtures: Mixtures, training: Training):
        self.net, self.mixtures, self.training = net, mixtures, training
        self.device = mixtures.device
        self.on_gpu = self.device.type == "cuda"
        self.precision = torch.bfloat16 if self.on_gpu else torch.float32
        self.functions = Functions(compiled=self.on_gpu)
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
        segment, hop = mixtures.situations.segment, net.options.L // 2
        self.M = max(1, round(training.batch_seconds / segment))
        self.T = hop * (FRAMES * max(1, round(segment * RATE / hop / FRAMES)) + 1)
        self.parameters = list(net.parameters())
        self.average = ConvTasNet(net.options).to(self.device)
        self.average.load_state_dict(net.state_dict())
        self.averaged = list(self.average.parameters())
        matrices = [each for each in self.parameters if each.dim() > 1]
        vectors = [each for each in self.parameters if each.dim() <= 1]
        groups = [{"params": matrices, "weight_decay": training.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self.lr = torch.tensor(0.0, device=self.device)
        self.optimizer = torch.optim.AdamW(groups, lr=self.lr, fused=True, capturable=self.on_gpu)
        self.steps = 0
        self.loss_sum = torch.zeros((), device=self.device)  # since the last `mean_loss`
        self.left_out = torch.zeros((), device=self.device)
        self.marks = []  # CUDA events of the steps under way
        self.replay = self.compute

    def prepare(self) -> None:
        """Make a first step, at a learning rate of 0, which compiles; then, on a GPU, one CUDA graph of a step."""
        self.step(0.0)
        if self.on_gpu:
            torch.cuda.synchronize()
            self.replay = self.captured()

    def step(self, lr: float) -> None:
        """Make a step at this learning rate. Returns before the GPU has computed it."""
        self.lr.fill_(lr)
        self.replay()
        self.steps += 1
        keep = min(self.training.ema, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            torch._foreach_lerp_(self.averaged, self.parameters, 1 - keep)
        if self.on_gpu:  # at most two steps ahead of it, so that the clock tells the truth
            mark = torch.cuda.Event()
            mark.record()
            self.marks.append(mark)
            if len(self.marks) > 2:
                self.marks.pop(0).synchronize()

    def compute(self) -> None:
        """Draw mixtures, and make a step of the optimiser by their loss."""
        training = self.training
        mixture, sources, _ = self.mixtures.draw(self.M, self.T)
        estimates = self.net(mixture, self.functions, self.precision)
        loss, losses = self.functions.separation_loss(estimates, sources, training.quiet, training.loss_floor)
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autograd.set_multithreading_enabled(False):  # what compiles, compiles in this thread
            loss.backward()
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm([each.grad for each in self.parameters])))
        # The optimiser divides gradients by the one, and does nothing if the other is 1.
        self.optimizer.grad_scale = (norm / training.max_norm).clamp(min=1.0)
        self.optimizer.found_inf = (~torch.isfinite(norm)).float()
        self.optimizer.step()
        self.loss_sum += torch.where(torch.isfinite(norm), losses.mean(), 0.0)
        self.left_out += self.optimizer.found_inf

    def captured(self) -> Callable[[], None]:
        """`compute` as one CUDA graph, which spares the CPU."""
        kept = self.loss_sum.clone(), self.left_out.clone()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.compute()
        torch.cuda.current_stream().wait_stream(stream)
        self.optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.compute()
        for total, before in zip((self.loss_sum, self.left_out), kept, strict=True):
            total.copy_(before)  # these steps do not count
        return graph.replay

    def mean_loss(self, steps: int) -> float:
        """Of so many steps since it was last asked for, in dB. Waits for the GPU."""
        mean = self.loss_sum.item() / max(1, steps)
        self.loss_sum.zero_()
        return mean


def learning_rate(training: Training, done: float) -> float:
    """The rate when this share of the time, from 0 to 1, is over: a rise, then half a cosine."""
    if done < training.warmup:
        return training.lr * done / training.warmup
    fallen = min(1.0, (done - training.warmup) / (1 - training.warmup))
    return training.last_lr + (training.lr - training.last_lr) * (1 + math.cos(math.pi * fallen)) / 2
