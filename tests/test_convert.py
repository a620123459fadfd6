"""Weights of three PyTorch implementations give their own outputs, losses and gradients here."""

import json

import mindspore as ms
import numpy as np
import pytest
from conversions import arguments, parity, refused
from mindspore import nn, ops

import convert
from loss import SeparationLoss
from model import load_model
from network.ports import SOURCES, from_kaituoxu

FILES = [
    "kaituoxu_gLN",
    "kaituoxu_BN",
    "kaituoxu_cLN_causal_softmax_C3",
    "asteroid_skip_gLN_sigmoid",
    "asteroid_noskip_cLN_causal_relu",
    "torchaudio_base",
]
WITH_GRADIENTS = ["kaituoxu_gLN", "kaituoxu_cLN_causal_softmax_C3"]
MODES = pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE], ids=["graph", "pynative"])


@pytest.fixture(autouse=True)
def restore_mode(device):
    yield
    ms.set_context(mode=ms.GRAPH_MODE)


@pytest.fixture(scope="module")
def converted(shared, device, tmp_path_factory):
    """Path of the checkpoint that a parity file was converted to, by its name; each is converted once."""
    folder, paths = tmp_path_factory.mktemp("converted"), {}

    def path(name):
        if name not in paths:
            paths[name] = folder / f"{name}.ckpt"
            convert.main(arguments(name, shared / "parity" / f"{name}.npz", paths[name]))
        return paths[name]

    return path


class WholeNetWithLoss(nn.Cell):
    """As the source has it: the network hears all samples, the loss the true ones. Loss, and estimates [M, C, T]."""

    def __init__(self, net):
        super().__init__()
        self.net, self.loss = net, SeparationLoss(net.options.C)

    def construct(self, mixture, lengths, sources):
        estimates = self.net(mixture)
        return self.loss(estimates, sources, lengths), estimates


def close(found, expected):
    """Within 1e-5, and within 1e-4 of the largest sample."""
    assert found.shape == expected.shape
    difference = np.abs(found - expected).max()
    print(f"largest difference: {difference:.1e}")  # the README says how to see it
    assert difference < 1e-5
    assert difference < 1e-4 * np.abs(expected).max()


def same_loss(found, arrays):
    """Within 1e-6 of it: float32 steps by 4e-6 at 40 dB."""
    assert found.asnumpy() == pytest.approx(arrays["loss"], rel=1e-6)
    assert arrays["loss"] == pytest.approx(-arrays["si_snr"].mean(), rel=1e-6)


@MODES
@pytest.mark.parametrize("name", [name for name in FILES if name not in WITH_GRADIENTS])
def test_output_equals_the_source(converted, shared, name, mode):
    arrays, net = parity(shared, name), load_model(converted(name))
    ms.set_context(mode=mode)
    close(net(ms.Tensor(arrays["mix"])).asnumpy(), arrays["est"])


def batch_of(arrays):
    return [ms.Tensor(arrays[key]) for key in ("mix", "lengths", "sources")]


def test_loss_equals_the_source(converted, shared):
    arrays, net = parity(shared, "kaituoxu_BN"), load_model(converted("kaituoxu_BN"))
    ms.set_context(mode=ms.PYNATIVE_MODE)
    same_loss(WholeNetWithLoss(net)(*batch_of(arrays))[0], arrays)


@MODES
@pytest.mark.parametrize("name", WITH_GRADIENTS)
def test_every_gradient_the_loss_and_the_output_equals_the_source(converted, shared, name, mode):
    """All of one compiled graph."""
    arrays, net = parity(shared, name), load_model(converted(name))
    meta = json.loads(str(arrays["meta"]))
    theirs = {key.removeprefix("grad/"): value for key, value in arrays.items() if key.startswith("grad/")}
    expected, _ = from_kaituoxu(theirs, meta)  # by our names
    names = [name for name, parameter in net.parameters_and_names() if parameter.requires_grad]
    assert sorted(names) == sorted(expected)
    ms.set_context(mode=mode)
    scored = ops.value_and_grad(WholeNetWithLoss(net), None, net.trainable_params(), has_aux=True)
    (loss, estimates), gradients = scored(*batch_of(arrays))
    close(estimates.asnumpy(), arrays["est"])
    same_loss(loss, arrays)
    slopes = [value for key, value in expected.items() if key.endswith("slope")]
    for ours, gradient in zip(names, gradients, strict=True):
        # A slope's gradient is one sum that may nearly cancel, so that the largest of all slopes is its measure.
        largest = max(np.abs(value).max() for value in (slopes if ours.endswith("slope") else [expected[ours]]))
        np.testing.assert_allclose(gradient.asnumpy(), expected[ours], atol=1e-4 * largest, rtol=0, err_msg=ours)


def test_options_and_rate_are_those_of_the_file(converted, shared):
    for name in FILES:
        meta, net = json.loads(str(parity(shared, name)["meta"])), load_model(converted(name))
        for letter in ("N", "L", "B", "H", "P", "X", "R", "C", "Sc", "norm_type"):
            assert getattr(net.options, letter) == meta.get(letter, getattr(net.options, letter)), (name, letter)
        assert net.options.causal == int(meta.get("causal", 0))
        assert net.sample_rate == 8000


def test_options_win_over_the_file(shared, tmp_path, capsys):
    path = shared / "parity" / "asteroid_skip_gLN_sigmoid.npz"
    more = ["--X", "2", "--mask_nonlinear", "relu", "--sample_rate", "16000"]
    convert.main(arguments("asteroid", path, tmp_path / "out.ckpt", *more))
    net = load_model(tmp_path / "out.ckpt")
    assert (net.options.X, net.options.R, net.options.mask_nonlinear, net.sample_rate) == (2, 3, "relu", 16000)
    assert "does not tell" not in capsys.readouterr().out


@pytest.mark.parametrize(("name", "source"), [(n, s) for n in FILES for s in SOURCES if not n.startswith(s)])
def test_wrong_source(shared, tmp_path, name, source):
    path = shared / "parity" / f"{name}.npz"
    message = refused(arguments(source, path, tmp_path / "out.ckpt"))
    assert message.startswith(f"{path}: not weights of {source}'s Conv-TasNet")


def test_wrong_number_of_blocks(shared, tmp_path):
    path = shared / "parity" / "torchaudio_base.npz"
    assert "--X 4" in refused(arguments("torchaudio", path, tmp_path / "out.ckpt", "--X", "4"))
    assert "--X 0" in refused(arguments("torchaudio", path, tmp_path / "out.ckpt", "--X", "0"))


@pytest.mark.parametrize(
    ("source", "option"),
    [
        ("kaituoxu", ["--X", "3"]),
        ("torchaudio", ["--norm_type", "cLN"]),
        *(("asteroid", ["--sample_rate", rate]) for rate in ("0", "1", "768001")),
    ],
)
def test_option_that_cannot_be_honoured(tmp_path, source, option):
    assert refused(arguments(source, "any.npz", tmp_path / "out.ckpt", *option)).startswith(" ".join(option))


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("asteroid_skip_gLN_sigmoid", {"stride": 4}, "16 samples are 4 apart"),
        ("asteroid_skip_gLN_sigmoid", {"norm_type": "fgLN"}, "cannot be built here"),
        ("asteroid_skip_gLN_sigmoid", {"mask_act": "tanh"}, "cannot be built here"),
        ("kaituoxu_cLN_causal_softmax_C3", {"norm_type": "gLN"}, "cannot be built here"),
        ("kaituoxu_gLN", {"norm_type": "BN"}, "running_mean"),
        ("kaituoxu_gLN", {"sample_rate": None}, "not weights of"),
    ],
)
def test_network_that_is_none_of_ours(shared, tmp_path, name, changes, message):
    arrays = parity(shared, name)
    np.savez(tmp_path / "net.npz", **arrays | {"meta": json.dumps(json.loads(str(arrays["meta"])) | changes)})
    found = refused(arguments(name, tmp_path / "net.npz", tmp_path / "out.ckpt"))
    assert found.startswith(f"{tmp_path / 'net.npz'}: ")
    assert message in found


def test_batch_normalisation_is_seen_in_the_weights(shared, tmp_path):
    arrays = parity(shared, "kaituoxu_BN")
    np.savez(tmp_path / "net.npz", **arrays | {"meta": "{}"})
    convert.main(arguments("kaituoxu", tmp_path / "net.npz", tmp_path / "out.ckpt"))
    assert load_model(tmp_path / "out.ckpt").options.norm_type == "BN"


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_weights_that_do_not_fit(shared, tmp_path, change):
    arrays = parity(shared, "torchaudio_base")
    name = "state/mask_generator.conv_layers.1.skip_out.weight"
    if change == "missing":
        arrays.pop(name)
    elif change == "shape":
        arrays[name] = arrays[name][:-1]
    else:
        arrays["state/mask_generator.conv_layers.0.another.weight"] = arrays[name]
    path = tmp_path / "changed.npz"
    np.savez(path, **arrays)
    assert refused(arguments("torchaudio", path, tmp_path / "out.ckpt")).startswith(f"{path}: ")


@pytest.mark.parametrize("name", ["kaituoxu_gLN", "asteroid_skip_gLN_sigmoid", "torchaudio_base"])
def test_pth_file_as_the_source_writes_it(converted, shared, tmp_path, name):
    torch = pytest.importorskip("torch")
    arrays = parity(shared, name)
    state = {key.removeprefix("state/"): torch.from_numpy(v) for key, v in arrays.items() if key.startswith("state/")}
    meta = json.loads(str(arrays["meta"]))
    package = {
        "kaituoxu": {**meta, "state_dict": {f"module.{key}": value for key, value in state.items()}},
        "asteroid": {
            "model_name": "ConvTasNet",
            "state_dict": state,
            "model_args": meta | {"n_blocks": meta["X"], "stride": meta["L"] // 2},
            "infos": {"torch_version": torch.__version__},
        },
        "torchaudio": state,
    }[meta["source"]]
    torch.save(package, tmp_path / "net.pth")
    more = [] if meta["source"] == "kaituoxu" else ["--X", str(meta["X"])]
    convert.main(arguments(name, tmp_path / "net.pth", tmp_path / "out.ckpt", *more))
    expected = dict(load_model(converted(name)).parameters_and_names())
    net = load_model(tmp_path / "out.ckpt")
    assert net.options == load_model(converted(name)).options
    for key, parameter in net.parameters_and_names():
        np.testing.assert_array_equal(parameter.asnumpy(), expected[key].asnumpy())
