"""network/checkpoint.py: what is written comes back whole; whatever else is given is one clear line."""

import json
import resource
from dataclasses import asdict

import mindspore as ms
import numpy as np
import pytest
from mindspore.train.checkpoint_pb2 import Checkpoint as StoredCheckpoint

from common.errors import UserError
from common.files import checksum
from common.numbers import ceil_div
from model import ConvTasNet, load_model
from network import checkpoint
from network.checkpoint import average_weights, publish, read_checkpoint, restore, write_checkpoint
from network.options import NetworkOptions

OPTIONS = NetworkOptions(N=12, L=8, B=6, H=8, X=2, R=1, C=3, Sc=5, bias=1, norm_type="BN", padding="both")


@pytest.fixture
def net(device):
    return ConvTasNet(OPTIONS, 16000, seed=1)


@pytest.fixture
def written(net, tmp_path):
    """Path of a checkpoint of `net`."""
    path = tmp_path / "net.ckpt"
    write_checkpoint(path, net)
    return path


def refused(path):
    """The one line that a file is refused with, which names it."""
    with pytest.raises(UserError) as error:
        load_model(path)
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message


def test_network_and_progress_come_back(net, tmp_path):
    progress = {"history": [{"train_loss": -1.5}], "epoch": 3}
    moment = ms.Parameter(ms.Tensor([1.0, 2.0], ms.float32), name="moment")
    write_checkpoint(tmp_path / "net.ckpt", net, progress, [("optimizer.moment", moment)])
    assert [file.name for file in tmp_path.iterdir()] == ["net.ckpt"]
    checkpoint = read_checkpoint(tmp_path / "net.ckpt")
    assert (checkpoint.options, checkpoint.sample_rate, checkpoint.progress) == (OPTIONS, 16000, progress)
    np.testing.assert_array_equal(checkpoint.parameters["optimizer.moment"], [1, 2])
    loaded = load_model(tmp_path / "net.ckpt")
    assert (loaded.options, loaded.sample_rate, loaded.training) == (OPTIONS, 16000, False)
    stored = dict(loaded.parameters_and_names())
    assert stored
    for name, parameter in net.parameters_and_names():
        np.testing.assert_array_equal(stored[name].asnumpy(), parameter.asnumpy())


def test_names_do_not_depend_on_what_is_built_around_the_network(net, tmp_path):
    from network_define import NetWithLoss

    NetWithLoss(net)
    write_checkpoint(tmp_path / "net.ckpt", net)
    assert "separator.bottleneck.weight" in read_checkpoint(tmp_path / "net.ckpt").parameters


def test_missing_file(tmp_path):
    assert "no such checkpoint" in refused(tmp_path / "none.ckpt")
    assert "no such checkpoint" in refused(tmp_path)


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_cut_file(written, part):
    whole = written.read_bytes()
    written.write_bytes(whole[: int(part * len(whole))])
    refused(written)


@pytest.mark.parametrize("contents", [b"hello\n", b"\x00" * 100, bytes(range(256)) * 10])
def test_other_file(tmp_path, contents):
    path = tmp_path / "text.ckpt"
    path.write_bytes(contents)
    refused(path)


def damaged(whole):
    """200 copies of a file with another bit each, and 50 with a sector of 512 bytes of zeros."""
    random = np.random.default_rng(0)
    for bit in random.integers(8 * len(whole), size=200):
        yield bytes(byte ^ (1 << bit % 8) if i == bit // 8 else byte for i, byte in enumerate(whole))
    for sector in random.integers(ceil_div(len(whole), 512), size=50):
        stretch = whole[512 * sector : 512 * (sector + 1)]
        yield whole[: 512 * sector] + bytes(len(stretch)) + whole[512 * sector + len(stretch) :]


@pytest.mark.parametrize("name", ["run.ckpt", "small.ckpt"])
def test_damage_is_seen(net, tmp_path, name):
    """In weights, the optimiser's memory, progress and options, and in what is published."""
    moment = ms.Parameter(ms.Tensor(np.ones(1000), ms.float32), name="moment")
    write_checkpoint(tmp_path / "run.ckpt", net, {"history": [-1.5] * 99}, [("optimizer.moment", moment)])
    publish(tmp_path / "run.ckpt", tmp_path / "small.ckpt")
    for contents in damaged((tmp_path / name).read_bytes()):
        (tmp_path / "damaged.ckpt").unlink(missing_ok=True)
        (tmp_path / "damaged.ckpt").write_bytes(contents)
        refused(tmp_path / "damaged.ckpt")


def without_checksum(path):
    """Make a checkpoint one as earlier versions wrote them."""
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-17])


def test_file_of_an_earlier_version_is_read_with_a_word(net, written, capsys):
    before = read_checkpoint(written)
    assert capsys.readouterr().out == ""
    without_checksum(written)
    for _ in range(2):
        after = read_checkpoint(written)
        assert (after.options, after.sample_rate, after.progress) == (OPTIONS, 16000, {})
        for name, parameter in before.parameters.items():
            np.testing.assert_array_equal(after.parameters[name], parameter)
    assert capsys.readouterr().out == (
        f"{written}: has no checksum, as files of earlier versions; damage would not be seen\n"
    )


def test_files_of_the_project_are_held_to_their_card(written, tmp_path, monkeypatch, capsys):
    without_checksum(written)
    (tmp_path / "README.md").write_text(f"## net.ckpt\n\nSHA-256 `{checksum(written)}`\n")
    monkeypatch.setattr(checkpoint, "SHIPPED", str(tmp_path))
    read_checkpoint(written)
    assert capsys.readouterr().out == ""
    contents = bytearray(written.read_bytes())
    contents[100] ^= 1
    written.write_bytes(contents)
    assert "damaged" in refused(written)
    read_checkpoint(written.rename(tmp_path / "another.ckpt"))
    assert "has no checksum" in capsys.readouterr().out


def test_other_name(written):
    other = written.rename(written.with_suffix(".pth"))
    assert "convert.py" in refused(other)


@pytest.mark.parametrize("is_new", [True, False], ids=["zip", "before 1.6"])
def test_weights_of_pytorch_under_this_name(tmp_path, is_new):
    torch = pytest.importorskip("torch")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "net.ckpt", _use_new_zipfile_serialization=is_new)
    assert "holds PyTorch's weights; python convert.py" in refused(tmp_path / "net.ckpt")


def test_foreign_checkpoint(tmp_path, device):
    path = tmp_path / "foreign.ckpt"
    ms.save_checkpoint([{"name": "weight", "data": ms.Tensor([1.0])}], str(path))
    assert "train.py or convert.py" in refused(path)


def described(path, net, **changes):
    """Write a checkpoint of a network's parameters that describes itself otherwise."""
    description = {"network": OPTIONS.to_json(), "sample_rate": "16000", "progress": "{}"} | changes
    parameters = [{"name": name, "data": parameter} for name, parameter in net.parameters_and_names()]
    ms.save_checkpoint(parameters, str(path), append_dict=description, crc_check=True)


@pytest.mark.parametrize(
    "description",
    [
        {"sample_rate": "many"},
        {"sample_rate": "0"},
        {"sample_rate": "999"},
        {"sample_rate": "-8000"},
        {"sample_rate": "1000000000"},
        {"sample_rate": "9" * 5000},
        {"network": "[1, 2]"},
        {"network": '{"layers": 3}'},
        {"network": "[" * 100000},
        {"progress": "{"},
        {"progress": "[]"},
        {"progress": '{"history": ' * 100000},
        {"weight": "text in place of an array"},
    ],
    ids=lambda description: str(description)[:40],
)
def test_foreign_description(tmp_path, net, description):
    described(tmp_path / "foreign.ckpt", net, **description)
    assert "train.py or convert.py" in refused(tmp_path / "foreign.ckpt")


@pytest.mark.parametrize(
    "changes",
    [
        *[{name: 10**9} for name in ("N", "L", "B", "Sc", "H", "C")],
        {"P": 10**9 + 1},
        *[{"X": 10**6}, {"X": 1}, {"R": 10**6}, {"R": 2}, {"Sc": 0}],
        *[{"N": value} for value in (12.5, 12.0, -1, True, None, "twelve")],
        {"bias": [1]},
        {"norm_type": "two\nlines"},
    ],
    ids=str,
)
def test_options_that_are_not_of_the_arrays(tmp_path, net, monkeypatch, changes):
    """Refused before anything is built."""
    monkeypatch.setattr("model.ConvTasNet", None)
    described(tmp_path / "foreign.ckpt", net, network=json.dumps(asdict(OPTIONS) | changes))
    refused(tmp_path / "foreign.ckpt")


def test_shape_that_the_bytes_do_not_fill(written):
    """MindSpore would make up the numbers that are missing, or read where it may not."""
    contents = StoredCheckpoint.FromString(written.read_bytes()[:-17])
    array = next(element.tensor for element in contents.value if element.tag == "encoder.weight")
    for shape in ([12, 9], [40000, 40000], [-12, 8], [2**40, 2**40], []):
        array.dims[:] = shape
        written.unlink()
        written.write_bytes(contents.SerializeToString())
        assert "damaged, encoder.weight has 384 bytes" in refused(written)


def test_text_that_is_none(written):
    whole = written.read_bytes()[:-17]
    written.unlink()
    for before, after in ((b"encoder.weight", b"enc\xe1der.weight"), (b'{\0\0\0"', b'{\0\0\x80"')):
        written.write_bytes(whole.replace(before, after))
        refused(written)


def test_parameters_that_do_not_fit(net, written):
    checkpoint = read_checkpoint(written)
    checkpoint.parameters.pop("encoder.weight")
    with pytest.raises(UserError, match=r"net.ckpt: has no encoder\.weight"):
        restore(net.parameters_and_names(), checkpoint.parameters, written)
    checkpoint.parameters["encoder.weight"] = np.zeros((2, 8), np.float32)
    with pytest.raises(UserError, match=r"encoder\.weight has shape \(2, 8\), expected \(12, 8\)"):
        restore(net.parameters_and_names(), checkpoint.parameters, written)


def test_full_disk_leaves_the_earlier_file(net, written):
    """A limit on the size of files fails as a full disk does."""
    before, limits = written.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(UserError) as error:
            write_checkpoint(written, net)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(error.value).startswith(f"{written}: cannot be written (")
    assert "\n" not in str(error.value)
    assert written.read_bytes() == before
    assert [file.name for file in written.parent.iterdir()] == [written.name]


def test_mean_of_weights(net, tmp_path):
    first = ConvTasNet(OPTIONS, 16000, seed=2)
    moment = ms.Parameter(ms.Tensor([1.0], ms.float32), name="moment")
    for name, network in (("a.ckpt", net), ("b.ckpt", first)):
        write_checkpoint(tmp_path / name, network, {}, [("optimizer.moment", moment)])
    mean = average_weights([tmp_path / "a.ckpt", tmp_path / "b.ckpt"])
    assert mean.keys() == {name for name, _ in net.parameters_and_names()}
    for (name, one), (_, other) in zip(net.parameters_and_names(), first.parameters_and_names(), strict=True):
        np.testing.assert_allclose(mean[name], (one.asnumpy() + other.asnumpy()) / 2, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["missing/net.ckpt", "net.pth"])
def test_bad_place_to_write(net, tmp_path, name):
    with pytest.raises(UserError) as error:
        write_checkpoint(tmp_path / name, net)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"{tmp_path / name}: ")
    assert not list(tmp_path.iterdir())


def test_published_weights_are_half_as_large_and_all_that_is_needed(net, tmp_path):
    moment = ms.Parameter(ms.Tensor(np.ones(1000), ms.float32), name="moment")
    write_checkpoint(tmp_path / "run.ckpt", net, {"options": {"train_dir": "mine"}}, [("optimizer.moment", moment)])
    publish(tmp_path / "run.ckpt", tmp_path / "small.ckpt")
    checkpoint = read_checkpoint(tmp_path / "small.ckpt")
    assert (checkpoint.options, checkpoint.sample_rate, checkpoint.progress) == (OPTIONS, 16000, {})
    assert all(parameter.dtype == np.float16 for parameter in checkpoint.parameters.values())
    loaded = dict(load_model(tmp_path / "small.ckpt").parameters_and_names())
    assert loaded.keys() == checkpoint.parameters.keys()
    for name, parameter in net.parameters_and_names():
        assert loaded[name].dtype == ms.float32
        np.testing.assert_allclose(loaded[name].asnumpy(), parameter.asnumpy(), rtol=2**-11, atol=1e-7)
    dict(net.parameters_and_names())["decoder.weight"].set_data(ms.Tensor(np.full((12, 8), 1e5, np.float32)))
    write_checkpoint(tmp_path / "run.ckpt", net)
    with pytest.raises(UserError, match=r"decoder\.weight has numbers beyond 65504"):
        publish(tmp_path / "run.ckpt", tmp_path / "small.ckpt")
