"""common/command_line.py: the command line, the file of --config, and how every option is documented."""

from argparse import Namespace
from pathlib import Path

import pytest

from common.command_line import parse, require_positive
from common.errors import UserError
from config import GROUPS
from network.options import NetworkOptions

ROOT = Path(__file__).resolve().parents[2]


def test_options_are_read_with_dashes_and_underscores():
    argv = ["--norm-type", "cLN", "--mask_nonlinear", "softmax", "--N", "7"]
    options = NetworkOptions.of(parse("", "network", argv=argv))
    assert (options.norm_type, options.mask_nonlinear, options.N) == ("cLN", "softmax", 7)


@pytest.mark.parametrize("argv", [["--N", "many"], ["--norm_type", "LN"], ["--unknown", "1\n"], ["--causal", "2"]])
def test_bad_command_line_is_refused(argv, capsys):
    with pytest.raises(SystemExit) as error:
        parse("", "network", argv=argv)
    assert error.value.code == 2
    assert argv[0] in capsys.readouterr().err.splitlines()[-1]


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


TRAIN = ("training_data", "data", "network", "training", "device")
FOLDERS = ["--train_dir", "tr", "--valid_dir", "cv", "--save_folder", "exp"]


def parse_with_file(tmp_path, text, *more):
    (tmp_path / "run.yaml").write_text(text)
    return parse("", *TRAIN, argv=["--config", str(tmp_path / "run.yaml"), *more])


def test_command_line_comes_before_the_file_and_the_file_before_the_default(tmp_path):
    args = parse_with_file(tmp_path, "lr: 1e-4\nbatch-size: 7\nnorm_type: cLN\nsegment: 3\n", *FOLDERS, "--lr", "0.5")
    assert (args.lr, args.batch_size, args.norm_type, args.segment, args.X) == (0.5, 7, "cLN", 3.0, 8)
    assert isinstance(args.segment, float)


def test_required_options_may_stand_in_the_file(tmp_path):
    args = parse_with_file(tmp_path, "train_dir: a\nvalid_dir: b\nsave_folder: c\ncontinue_from:\n")
    assert (args.train_dir, args.valid_dir, args.save_folder, args.continue_from) == ("a", "b", "c", None)


@pytest.mark.parametrize(
    "text, message",
    [
        ("lrr: 1", "lrr is no option"),
        ("config: a.yaml", "config is no option"),
        ("lr: fast", "lr: fast must be a float"),
        ("N: 2.5", "N: 2.5 must be a int"),
        ("causal: true", "causal: True must be a int"),
        ("optimizer: lion", "optimizer: lion: choose from"),
        ("lr", "must be lines of"),
        ("- lr", "must be lines of"),
        ("lr: [1", "cannot be read as YAML"),
        ("[" * 2000, "cannot be read as YAML"),
        ("lr: 0.1\nseed: 1\nlr: 0.2", "sets lr twice"),
        ("batch-size: 2\nbatch_size: 4", "sets batch_size twice"),
    ],
)
def test_bad_file_is_one_line_naming_it(tmp_path, text, message):
    with pytest.raises(UserError) as error:
        parse_with_file(tmp_path, text, *FOLDERS)
    assert str(error.value).startswith(f"--config {tmp_path / 'run.yaml'}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_file():
    with pytest.raises(UserError, match=r"--config nowhere\.yaml: cannot be read"):
        parse("", *TRAIN, argv=["--config", "nowhere.yaml", *FOLDERS])


@pytest.mark.parametrize(
    "name, expected",
    [
        ("model_zoo", dict(optimizer="sgd", lr=0.01, batch_size=2, epochs=100, N=512, L=20, B=256, X=8, R=4)),
        (
            "paper",
            dict(N=512, L=16, B=128, Sc=128, H=512, X=8, R=3, optimizer="adam", lr=1e-3, max_norm=5.0, segment=3.0)
            | dict(batch_size=24, schedule="halve", patience=5, early_stop=30),
        ),
    ],
)
def test_files_that_come_along(name, expected):
    from training.schedule import check_training

    args = parse("", *TRAIN, argv=["--config", str(ROOT / "configs" / f"{name}.yaml"), *FOLDERS])
    check_training(args)
    NetworkOptions.of(args)
    assert {option: getattr(args, option) for option in expected} == expected
