"""What a training, an evaluation and an export compile, one graph after another: the child of `kernels.chosen`.

    python -m ascend_check.graphs [NAME...]

Around each graph a line `@begin NAME` and one `@end NAME` go to standard error. Between them MindSpore's log says which
kernel it has chosen for every operator. After the last comes `@all`, after one that fails `@fails REASON`. Nothing is
run. Small networks show it all, since a block has the operators of every other.
"""

import sys
from collections.abc import Callable, Sequence

from device import set_device

import mindspore as ms
import numpy as np
from mindspore import nn

from common.errors import first_line
from model import ConvTasNet
from network.options import NetworkOptions
from network.precision import halve_products
from network_define import (
    Addition,
    GradientNorm,
    MovingAverage,
    NetWithLoss,
    SummedGradients,
    SumOverRanks,
    Update,
    make_optimizer,
)

M, C, T = 2, 2, 800  # mixtures, speakers and samples
SMALL = {"N": 16, "L": 16, "B": 16, "H": 32, "P": 3, "X": 2, "R": 1, "C": C}
NETWORKS = {
    "gLN": {},
    "gLN, skip": {"Sc": 16},
    "cLN": {"norm_type": "cLN"},
    "cgLN, causal": {"norm_type": "cgLN", "causal": 1},
    "BN": {"norm_type": "BN"},
    "softmax, padding on both sides": {"mask_nonlinear": "softmax", "padding": "both"},
}


def graphs() -> dict[str, Callable[[], None]]:
    """Of each graph its name and what compiles it."""
    found = {}
    for name, options in NETWORKS.items():
        found[f"separation: {name}"] = lambda options=options: separation(network(options))
        found[f"gradients: {name}"] = lambda options=options: gradients(network(options))
    for level, half in (("O2", ms.bfloat16), ("O3", ms.float16)):
        name = f"gradients: gLN, {level} in {str(half).lower()}"
        found[name] = lambda level=level, half=half: gradients(halved(network({}), level, half))
    for name in ("gLN", "cgLN, causal", "BN"):
        found[f"separation of several in a row: {name}"] = lambda options=NETWORKS[name]: packed(network(options))
    for name in ("sgd", "adam", "adamw"):
        found[f"update: {name}"] = lambda name=name: update(network({}), name)
    found["addition of two batches"] = lambda: on_gradients(Addition(), times=2)
    found["norm of the gradients"] = lambda: on_gradients(GradientNorm())
    found["moving average"] = lambda: MovingAverage(network({}).trainable_params(), 0.9).compile(number())
    found["sum over ranks"] = lambda: on_gradients(SumOverRanks())
    return found


def network(options: dict[str, object]) -> ConvTasNet:
    return ConvTasNet(NetworkOptions(**{**SMALL, **options}), 8000)


def halved(net: ConvTasNet, level: str, half: ms.Type) -> ConvTasNet:
    halve_products(net, level, half)
    return net


def separation(net: ConvTasNet) -> None:
    net.set_train(False).compile(zeros(M, T), lengths(M))


def packed(net: ConvTasNet) -> None:
    starts = ms.Tensor(np.array([[0, 400]] * M, np.int32))
    net.set_train(False).compile(zeros(M, T), ms.Tensor(np.array([[300, 400]] * M, np.int32)), starts)


def gradients(net: ConvTasNet) -> None:
    cell = SummedGradients(NetWithLoss(net).set_train(), net.trainable_params())
    cell.compile(zeros(M, T), lengths(M), zeros(M, C, T), number())


def update(net: ConvTasNet, optimizer: str) -> None:
    weights = net.trainable_params()
    made = make_optimizer(weights, optimizer, lr=1e-3, l2=1e-5, momentum=0.9)
    Update(made, made.decay > 0).compile(number(), number(), *(zeros(*weight.shape) for weight in weights))


def on_gradients(cell: nn.Cell, times: int = 1) -> None:
    """Compile a cell that takes the gradients of a network."""
    cell.compile(*[zeros(*weight.shape) for weight in network({}).trainable_params()] * times)


def zeros(*shape: int) -> ms.Tensor:
    return ms.Tensor(np.zeros(shape, np.float32))


def lengths(count: int) -> ms.Tensor:
    return ms.Tensor(np.full(count, T, np.int32))


def number() -> ms.Tensor:
    return ms.Tensor(0.5, ms.float32)


def main(names: Sequence[str]) -> None:
    set_device("Ascend", 0)
    known = graphs()
    for name in names or known:
        print("@begin", name, file=sys.stderr, flush=True)
        try:
            if name not in known:
                raise ValueError(f"there are: {'; '.join(known)}")
            known[name]()
        except Exception as error:  # whatever the compiler raises is what was to be found out
            raise SystemExit(f"@fails {first_line(error)}") from None
        print("@end", name, file=sys.stderr, flush=True)
    print("@all", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
