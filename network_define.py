"""The network with its loss, and a step of training: the same cells on one device and on many."""

import mindspore as ms
from mindspore import nn, ops

from loss import SeparationLoss


class NetWithLoss(nn.Cell):
    """Separates a batch and scores it: mixture [M, T], lengths [M], sources [M, C, T] -> loss in dB."""

    def __init__(self, net):
        super().__init__()
        self.net = net
        self.loss = SeparationLoss(net.options.C)

    def construct(self, mixture, lengths, sources):
        return self.loss(self.net(mixture, lengths), sources, lengths)


class TrainingStep(nn.Cell):
    """A step of training: mixture [M, T], lengths [M], sources [M, C, T] -> loss in dB.

    With several devices in data-parallel mode the gradients are averaged over all of them before they are clipped.

    Args:
        net_with_loss: NetWithLoss.
        optimizer: nn.Optimizer of its parameters.
        max_norm: largest norm of the whole gradient; 0 leaves it as it is.
    """

    def __init__(self, net_with_loss, optimizer, max_norm):
        super().__init__()
        self.net_with_loss, self.optimizer, self.max_norm = net_with_loss, optimizer, max_norm
        self.loss_and_gradients = ops.value_and_grad(net_with_loss, None, optimizer.parameters)
        many = ms.get_auto_parallel_context("parallel_mode") == ms.ParallelMode.DATA_PARALLEL
        self.average = nn.DistributedGradReducer(optimizer.parameters) if many else None

    def construct(self, mixture, lengths, sources):
        loss, gradients = self.loss_and_gradients(mixture, lengths, sources)
        if self.average is not None:
            gradients = self.average(gradients)
        if self.max_norm > 0:
            gradients = limit_norm(gradients, self.max_norm)
        return ops.depend(loss, self.optimizer(gradients))


half_square_sum, stack, sum_away, times = ops.L2Loss(), ops.Stack(), ops.ReduceSum(), ops.Mul()


def limit_norm(gradients, max_norm):
    """Scale gradients, a tuple of tensors, down to a norm of `max_norm` over all of them, if it is larger.

    MindSpore's own clip_by_global_norm is deprecated. HyperMap over plain operators, since list comprehensions, and
    functions in HyperMap, compile several seconds longer for a network's three hundred gradients.
    """
    norm = ops.sqrt(2 * sum_away(stack(ops.HyperMap()(half_square_sum, gradients))))
    return ops.HyperMap()(ops.partial(times, max_norm / ops.maximum(norm, max_norm)), gradients)


def make_optimizer(parameters, name, lr, l2=0.0, momentum=0.0):
    """The optimiser of these parameters: "sgd" (with momentum) or "adam", with weight decay `l2`."""
    if name == "sgd":
        return nn.SGD(parameters, lr, momentum=momentum, weight_decay=l2)
    return nn.Adam(parameters, lr, weight_decay=l2)
