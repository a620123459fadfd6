"""network/options.py: what is refused among a network's options, and the way to a checkpoint and back."""

import pytest

from common.command_line import parse
from common.errors import UserError
from config import NETWORK
from network.options import NetworkOptions

INVALID = [
    *[{name: value} for name in ("N", "L", "B", "H", "P", "X", "R", "C") for value in (0, -1)],
    *[{name: value} for name in ("N", "Sc", "causal") for value in (1.5, 1.0, True, float("nan"), None, "1", [1])],
    {"Sc": -1},
    {"L": 21},
    {"P": 2},
    {"norm_type": "LN"},
    {"norm_type": "same"},
    {"input_norm": "none"},
    {"mask_nonlinear": "tanh"},
    {"padding": "reflect"},
    {"causal": 1},
    {"causal": 1, "norm_type": "gLN"},
    {"causal": 1, "norm_type": "cLN", "input_norm": "gLN"},
    {"causal": 2, "norm_type": "cLN"},
    {"bias": -1},
    {"mask_prelu": 5},
    {"encoder_relu": 2},
]


@pytest.mark.parametrize("options", INVALID, ids=str)
def test_invalid_network_is_one_line_naming_the_option(options):
    with pytest.raises(UserError) as error:
        NetworkOptions(**options)
    message = str(error.value)
    assert "\n" not in message
    assert any(message.startswith(f"--{name} {value}: ") for name, value in options.items())


def test_shapes_are_those_of_the_network(device):
    from model import ConvTasNet

    for options in (NetworkOptions(N=12, L=8, B=6, H=10, P=5, X=2, R=1, C=3, Sc=7), NetworkOptions(N=4, B=5, H=6)):
        weights = dict(ConvTasNet(options, 8000).parameters_and_names())
        assert options.shapes == {name: weight.shape for name, weight in weights.items()}


@pytest.mark.parametrize(
    "options",
    [{}, {"causal": 1, "norm_type": "cgLN", "P": 2}, {"norm_type": "gLN", "input_norm": "cLN"}, {"P": 1, "Sc": 4}],
)
def test_network_comes_back_from_json(options):
    assert NetworkOptions.from_json(NetworkOptions(**options).to_json()) == NetworkOptions(**options)


def test_norm_before_the_bottleneck():
    assert NetworkOptions(norm_type="cLN").first_norm == "cLN"
    assert NetworkOptions(norm_type="cLN", input_norm="BN").first_norm == "BN"


def test_defaults_of_the_command_line_are_those_of_the_network():
    assert NetworkOptions.of(parse("", "network", argv=[])) == NetworkOptions()
    assert {name: getattr(NetworkOptions(), name) for name in NETWORK} == {n: o["default"] for n, o in NETWORK.items()}
