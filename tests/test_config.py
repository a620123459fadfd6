"""config.py: the command line, the network's options and what is refused among them."""

from argparse import Namespace

import pytest

from config import GROUPS, NETWORK, NetworkOptions, parse, require_positive
from errors import UserError

INVALID = [
    *[{name: value} for name in ("N", "L", "B", "H", "P", "X", "R", "C") for value in (0, -1)],
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


def test_options_are_read_with_dashes_and_underscores():
    argv = ["--norm-type", "cLN", "--mask_nonlinear", "softmax", "--N", "7"]
    options = NetworkOptions.of(parse("", "network", argv=argv))
    assert (options.norm_type, options.mask_nonlinear, options.N) == ("cLN", "softmax", 7)


@pytest.mark.parametrize("argv", [["--N", "many"], ["--norm_type", "LN"], ["--unknown", "1"], ["--causal", "2"]])
def test_bad_command_line_is_refused(argv, capsys):
    with pytest.raises(SystemExit) as error:
        parse("", "network", argv=argv)
    assert error.value.code == 2
    assert argv[0] in capsys.readouterr().err


@pytest.mark.parametrize("group", GROUPS)
def test_every_option_says_what_it_means_and_its_default(group, capsys):
    with pytest.raises(SystemExit):
        parse("", group, argv=["--help"])
    text = " ".join(capsys.readouterr().out.split())
    for name, option in GROUPS[group].items():
        assert option["help"].strip(), name
        if option.get("default") is not None:
            assert f"(default: {option['default']})" in text, name


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_values_that_must_be_positive(value):
    require_positive(Namespace(lr=1e-3, epochs=1), "lr", "epochs")
    with pytest.raises(UserError, match=r"--lr .*: must be above 0"):
        require_positive(Namespace(lr=value, epochs=1), "lr", "epochs")
