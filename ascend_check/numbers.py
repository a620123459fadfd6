"""What our cells compute on one device, to hold another device's numbers to.

    python -m ascend_check.numbers DEVICE_TARGET FILE.npz [NETWORK...]

writes of each network of `graphs` its estimates, loss and gradients for one batch of noise, and the losses of some
steps of training on it. Half precision is computed where the device has it.
"""

import sys
from collections.abc import Iterator, Sequence

from device import set_device

import mindspore as ms
import numpy as np

from ascend_check.graphs import NETWORKS, C, M, T, halved, network
from common.errors import UserError, run
from common.files import whole_file
from model import ConvTasNet
from network_define import NetWithLoss, SummedGradients, TrainingStep, make_optimizer

STEPS = 5
HALVES = {"gLN, O2 in float16": ms.float16, "gLN, O2 in bfloat16": ms.bfloat16}


def numbers(device: str, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Of each network, or of those with these names, what it computes on the device that was set."""
    found = {}
    for name in names or NETWORKS:
        for what, values in of_network(network(NETWORKS[name])):
            found[f"{name}: {what}"] = values
    if device != "CPU" and not names:
        for name, half in HALVES.items():
            for what, values in of_network(halved(network({}), "O2", half)):
                found[f"{name}: {what}"] = values
    return found


def of_network(net: ConvTasNet) -> Iterator[tuple[str, np.ndarray]]:
    """Names and values: estimates [M, C, T], the loss, gradients of all weights as a vector, losses [STEPS]."""
    random = np.random.default_rng(0)
    sources = ms.Tensor(0.1 * random.standard_normal((M, C, T), np.float32))
    mixture = sources.sum(1)  # [M, T]
    lengths = ms.Tensor(np.array([T, T - 37], np.int32))
    yield "estimates", net.set_train(False)(mixture, lengths).asnumpy()
    loss = NetWithLoss(net).set_train()
    weights = net.trainable_params()
    summed, _, *gradients = SummedGradients(loss, weights)(mixture, lengths, sources, ms.Tensor(1.0, ms.float32))
    yield "loss", summed.asnumpy().reshape(1)
    yield "gradients", np.concatenate([gradient.asnumpy().ravel() for gradient in gradients])
    step = TrainingStep(loss, make_optimizer(weights, "adam", 1e-3), max_norm=5.0).set_train()
    yield "losses of training", np.array([step((mixture, lengths, sources))[0] for _ in range(STEPS)])


def main() -> None:
    if len(sys.argv) < 3:
        raise UserError("arguments: give a device, Ascend, GPU or CPU, and a file to write")
    device = set_device(sys.argv[1])
    with whole_file(sys.argv[2]) as partial, open(partial, "wb") as file:
        np.savez(file, **numbers(device, sys.argv[3:]))


if __name__ == "__main__":
    run(main)
