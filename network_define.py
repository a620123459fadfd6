"""The network with its loss, and a step of training: the same cells on one device and on many."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import mindspore as ms
import numpy as np
from mindspore import ParameterTuple, nn, ops

from loss import SeparationLoss
from model import ConvTasNet


class NetWithLoss(nn.Cell):
    """Separates a batch and scores it: mixture [M, T], lengths [M], sources [M, C, T] -> loss in dB."""

    def __init__(self, net: ConvTasNet):
        super().__init__()
        self.net = net
        self.loss = SeparationLoss(net.options.C)

    def construct(self, mixture, lengths, sources):
        return self.loss(self.net(mixture, lengths), sources, lengths)


class SummedLoss(nn.Cell):
    """The loss added up over the mixtures of a batch, so that batches of any sizes add up, times a scale."""

    def __init__(self, net_with_loss: NetWithLoss):
        super().__init__()
        self.net_with_loss = net_with_loss

    def construct(self, mixture, lengths, sources, scale):
        return self.net_with_loss(mixture, lengths, sources) * mixture_count(lengths) * scale


class SummedGradients(nn.Cell):
    """A batch and a scale -> the summed loss, the number of mixtures and the gradients, as one flat tuple."""

    def __init__(self, net_with_loss: NetWithLoss, weights: Sequence[ms.Parameter]):
        super().__init__()
        self.loss_and_gradients = ops.value_and_grad(SummedLoss(net_with_loss), None, weights)

    def construct(self, mixture, lengths, sources, scale):
        loss, gradients = self.loss_and_gradients(mixture, lengths, sources, scale)
        return (loss, mixture_count(lengths), *gradients)


def mixture_count(lengths: ms.Tensor) -> ms.Tensor:
    """The number of mixtures in a batch with lengths [M]; those of length 0 only fill it up."""
    return (lengths > 0).astype(ms.float32).sum()


# The cells below take tensors as arguments of their own: a tuple would be a constant, compiled anew for other values.
# They map plain operators over them where they can: list comprehensions and functions compile several seconds longer
# for a network's three hundred gradients.
add, multiply, half_square_sum, stack, sum_all = ops.Add(), ops.Mul(), ops.L2Loss(), ops.Stack(), ops.ReduceSum()


class Addition(nn.Cell):
    """Adds as many tensors to as many others: the first of the second half to the first, and so on."""

    def construct(self, *tensors):
        half = len(tensors) // 2
        return ops.HyperMap()(add, tensors[:half], tensors[half:])


class SumOverRanks(nn.Cell):
    """Adds each tensor up over all ranks."""

    def __init__(self):
        super().__init__()
        self.all_reduce = ops.AllReduce()

    def construct(self, *tensors):
        return ops.HyperMap()(self.of_one, tensors)

    def of_one(self, tensor: ms.Tensor) -> ms.Tensor:
        return self.all_reduce(tensor)


class GradientNorm(nn.Cell):
    """Norm of the gradients of all weights, as if they were one vector (clip_by_global_norm is deprecated)."""

    def construct(self, *gradients):
        return ops.sqrt(2 * sum_all(stack(ops.HyperMap()(half_square_sum, gradients))))


class Update(nn.Cell):
    """Hands gradients, times a factor, to the optimiser; `keep` multiplies the weights first (AdamW's decay)."""

    def __init__(self, optimizer: nn.Optimizer, decays: bool):
        super().__init__()
        self.optimizer, self.decays, self.weights = optimizer, decays, optimizer.parameters

    def construct(self, factor, keep, *gradients):
        gradients = ops.HyperMap()(ops.partial(multiply, factor), gradients)
        if self.decays:
            gradients = ops.depend(gradients, ops.HyperMap()(ops.partial(shrink, keep), self.weights))
        return self.optimizer(gradients)


def shrink(keep: ms.Tensor, weight: ms.Parameter) -> ms.Tensor:
    return ops.assign(weight, weight * keep)


class TrainingStep:
    """A step of training: batches of mixture [M, T], lengths [M], sources [M, C, T] -> loss in dB, and whether the step
    was taken.

    The gradient is that of the mean over all mixtures of the step, of whatever batch and rank they are, and is then
    limited in norm. A step whose loss or gradient is not finite leaves everything as it was.

    Args:
        net_with_loss: NetWithLoss.
        optimizer: what `make_optimizer` makes.
        max_norm: largest norm of the whole gradient; 0 leaves it as it is.
        ranks: how many processes train together; with more than 1 their communication must be set up.
        loss_scaler: what scales the loss of a network in float16, or None.
    """

    def __init__(
        self,
        net_with_loss: NetWithLoss,
        optimizer: nn.Optimizer,
        max_norm: float,
        ranks: int = 1,
        loss_scaler: ms.amp.LossScaler | None = None,
    ):
        self.net_with_loss, self.optimizer, self.max_norm = net_with_loss, optimizer, max_norm
        self.loss_scaler = loss_scaler
        self.gradients = SummedGradients(net_with_loss, optimizer.parameters)
        self.add = Addition()
        self.sum_over_ranks = SumOverRanks() if ranks > 1 else None
        self.norm = GradientNorm()
        self.update = Update(optimizer, optimizer.decay > 0)

    def set_train(self) -> "TrainingStep":
        """Switch the network to training; returns this step."""
        self.net_with_loss.set_train()
        return self

    def __call__(self, *batches: Sequence[ms.Tensor]) -> tuple[float, bool]:
        scale = self.loss_scale
        total = None
        for batch in batches:
            sums = self.gradients(*batch, ms.Tensor(scale, ms.float32))
            total = sums if total is None else self.add(*total, *sums)
        if self.sum_over_ranks is not None:
            total = self.sum_over_ranks(*total)
        loss, count, *gradients = total
        weight = scale * float(count.asnumpy()) or math.nan  # no mixture at all makes no step
        loss, norm = (float(value.asnumpy()) / weight for value in (loss, self.norm(*gradients)))
        finite = math.isfinite(loss) and math.isfinite(norm)
        if self.loss_scaler is not None:
            self.loss_scaler.adjust(ms.Tensor(finite))
        if finite:
            limit = self.max_norm / norm if 0 < self.max_norm < norm else 1.0
            self.update(ms.Tensor(limit / weight, ms.float32), ms.Tensor(self.weight_left(), ms.float32), *gradients)
        return loss, finite

    def weight_left(self) -> float:
        """The part of a weight that AdamW's decay leaves in a step."""
        return 1 - self.learning_rate * self.optimizer.decay

    @property
    def loss_scale(self) -> float:
        return 1.0 if self.loss_scaler is None else float(self.loss_scaler.scale_value.asnumpy())

    @loss_scale.setter
    def loss_scale(self, value: float) -> None:
        if self.loss_scaler is not None:
            self.loss_scaler.scale_value.set_data(ms.Tensor(value, ms.float32))

    @property
    def learning_rate(self) -> float:
        return float(self.optimizer.learning_rate.asnumpy())

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self.optimizer.learning_rate.set_data(ms.Tensor(value, ms.float32))


def make_optimizer(
    parameters: Sequence[ms.Parameter], name: str, lr: float, l2: float = 0.0, momentum: float = 0.0
) -> nn.Optimizer:
    """The optimiser of these parameters: "sgd" (with momentum), "adam" or "adamw", with weight decay `l2`.

    AdamW (Loshchilov and Hutter 2019) shrinks the weights apart from the gradient: `decay` of the optimiser, 0 for the
    others, is what `TrainingStep` shrinks them by. MindSpore's AdamWeightDecay is another, without Adam's correction of
    the first steps.
    """
    if name == "sgd":
        optimizer = nn.SGD(parameters, lr, momentum=momentum, weight_decay=l2)
    else:
        optimizer = nn.Adam(parameters, lr, weight_decay=l2 if name == "adam" else 0.0)
    optimizer.decay = l2 if name == "adamw" else 0.0
    return optimizer


class MovingAverage(nn.Cell):
    """Exponential moving average of weights, kept in parameters of its own, `averages`, which begin as the weights.

    Args:
        weights: parameters of a network.
        keep: the part of an average that a step leaves, at least 0 and below 1.
    """

    def __init__(self, weights: Sequence[ms.Parameter], keep: float):
        super().__init__()
        self.keep = keep
        self.weights = ParameterTuple(weights)
        self.averages = self.weights.clone(prefix="ema", init="same")

    def construct(self, keep):
        return ops.HyperMap()(ops.partial(move_towards, keep), self.averages, self.weights)

    def follow(self, steps: int) -> None:
        """Take in the weights after so many steps; the first steps count more, so that the beginning is forgotten."""
        self(ms.Tensor(np.float32(min(self.keep, (1 + steps) / (10 + steps)))))

    def begin_anew(self) -> None:
        """Set the averages to the weights."""
        assign_each(self.averages, (weight.asnumpy() for weight in self.weights))

    @contextmanager
    def in_place_of_weights(self) -> Iterator[None]:
        """Let the network have the averages for its weights, as long as this context lasts."""
        own = [weight.asnumpy().copy() for weight in self.weights]
        assign_each(self.weights, (average.asnumpy() for average in self.averages))
        yield
        assign_each(self.weights, own)


def move_towards(keep: ms.Tensor, average: ms.Parameter, weight: ms.Parameter) -> ms.Tensor:
    return ops.assign(average, average * keep + weight * (1 - keep))


def assign_each(parameters: Iterable[ms.Parameter], values: Iterable[np.ndarray]) -> None:
    """Set parameters to arrays in place, since compiled pieces hold on to their memory."""
    for parameter, value in zip(parameters, values, strict=True):
        ops.assign(parameter, ms.Tensor(value))
