"""convert.py: files that are damaged, hostile or of something else are one clear line."""

import io
import json
import pickle
import zipfile

import numpy as np
import pytest
from conversions import arguments, parity, refused

from common.errors import UserError
from convert import read_weights


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9, 0.999])
def test_cut_file(shared, tmp_path, part):
    whole = (shared / "parity" / "kaituoxu_BN.npz").read_bytes()
    path = tmp_path / "cut.npz"
    path.write_bytes(whole[: int(part * len(whole))])
    assert refused(arguments("kaituoxu", path, tmp_path / "out.ckpt")).startswith(f"{path}: ")


def test_missing_file_and_file_of_something_else(tmp_path):
    assert "no such file" in refused(arguments("asteroid", tmp_path / "none.pth", tmp_path / "out.ckpt"))
    (tmp_path / "text.npz").write_text("hello")
    refused(arguments("asteroid", tmp_path / "text.npz", tmp_path / "out.ckpt"))
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    refused(arguments("asteroid", tmp_path / "other.npz", tmp_path / "out.ckpt"))


@pytest.mark.parametrize("meta", ["[]", '"text"', "3", "null", "{", "[" * 100000], ids=lambda meta: meta[:9])
def test_meta_that_is_no_object(tmp_path, meta):
    np.savez(tmp_path / "net.npz", **{"state/weight": np.zeros(3, np.float32), "meta": meta})
    message = refused(arguments("asteroid", tmp_path / "net.npz", tmp_path / "out.ckpt"))
    assert message.startswith(f"{tmp_path / 'net.npz'}: ")


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("kaituoxu_gLN", {"sample_rate": 0}),
        ("kaituoxu_gLN", {"sample_rate": 10**9}),
        ("kaituoxu_gLN", {"sample_rate": float("inf")}),
        ("torchaudio_base", {"X": 1.5}),
        ("torchaudio_base", {"X": "4"}),
        ("torchaudio_base", {"X": True}),
        ("torchaudio_base", {"mask_nonlinear": ["relu"]}),
        ("asteroid_skip_gLN_sigmoid", {"norm_type": {}}),
    ],
)
def test_arguments_that_cannot_be(shared, tmp_path, name, changes):
    meta = json.dumps(json.loads(str(parity(shared, name)["meta"])) | changes)
    np.savez(tmp_path / "net.npz", **parity(shared, name) | {"meta": meta})
    message = refused(arguments(name, tmp_path / "net.npz", tmp_path / "out.ckpt"))
    assert message.startswith(f"{tmp_path / 'net.npz'}: ")


@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e300])
def test_weights_that_are_no_numbers(shared, tmp_path, value):
    name = "state/decoder.weight"
    broken = parity(shared, "torchaudio_base")[name].astype(np.float64)
    broken.flat[7] = value
    np.savez(tmp_path / "net.npz", **parity(shared, "torchaudio_base") | {name: broken})
    message = refused(arguments("torchaudio", tmp_path / "net.npz", tmp_path / "out.ckpt"))
    assert message.startswith(f"{tmp_path / 'net.npz'}: decoder.weight has NaN, infinite or huge weights")


@pytest.mark.parametrize("value", [np.zeros((0, 1, 16), np.float32), np.array("text"), np.zeros((8, 1, 16), complex)])
def test_arrays_that_are_no_weights(shared, tmp_path, value):
    np.savez(tmp_path / "net.npz", **parity(shared, "torchaudio_base") | {"state/encoder.weight": value})
    message = refused(arguments("torchaudio", tmp_path / "net.npz", tmp_path / "out.ckpt"))
    assert message.startswith(f"{tmp_path / 'net.npz'}: ")


def test_npz_that_is_none(tmp_path):
    """A single array under the name, and an array that says it has 36 TB."""
    np.save(tmp_path / "net", np.zeros(3))
    path = (tmp_path / "net.npy").rename(tmp_path / "net.npz")
    assert "not a whole .npz" in refused(arguments("asteroid", path, tmp_path / "out.ckpt"))
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": (9 * 10**12,)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("state/weight.npy", head.getvalue())
    assert "not a whole .npz" in refused(arguments("asteroid", path, tmp_path / "out.ckpt"))


@pytest.fixture
def state(shared):
    """Weights by Asteroid's names, as tensors."""
    torch = pytest.importorskip("torch")
    arrays = parity(shared, "asteroid_skip_gLN_sigmoid")
    return {key.removeprefix("state/"): torch.from_numpy(v) for key, v in arrays.items() if key.startswith("state/")}


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", None])
@pytest.mark.parametrize("prefix", ["", "model.", "model.module.", "module.model.", "_orig_mod.module."])
def test_wrapped_weights_are_found(state, tmp_path, key, prefix):
    import torch

    wrapped = {prefix + name: value for name, value in state.items()}
    package = wrapped if key is None else {key: wrapped, "epoch": 3, "optimizer": {"state": {}}}
    torch.save(package, tmp_path / "net.ckpt")
    found, _ = read_weights(str(tmp_path / "net.ckpt"))
    assert found.keys() == state.keys()
    for name, value in state.items():
        np.testing.assert_array_equal(found[name], value.numpy())


def test_two_networks_in_one_file_are_not_mixed(state, tmp_path):
    import torch

    torch.save(state | {f"model.{name}": -value for name, value in state.items()}, tmp_path / "net.pth")
    assert "more than one network" in refused(arguments("asteroid", tmp_path / "net.pth", tmp_path / "out.ckpt"))


@pytest.mark.parametrize("package", [[1], 3, {"model": 3}, {"state_dict": None}, {"state_dict": {}, "model_args": [1]}])
def test_torch_file_without_weights(tmp_path, package):
    torch = pytest.importorskip("torch")
    torch.save(package, tmp_path / "net.pth")
    refused(arguments("asteroid", tmp_path / "net.pth", tmp_path / "out.ckpt"))


class Attack:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_pickle_that_would_run_code_is_refused(tmp_path):
    """Without PyTorch because that is needed; with it because it loads weights only."""
    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"state_dict": Attack(tmp_path / "made")}))
    refused(arguments("asteroid", tmp_path / "evil.pth", tmp_path / "out.ckpt"))
    assert not (tmp_path / "made").exists()


def test_torch_archive_that_would_run_code_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"state_dict": Attack(tmp_path / "made")}, tmp_path / "evil.pth")
    (tmp_path / "made").unlink(missing_ok=True)
    assert "evil.pth: not weights that" in refused(arguments("asteroid", tmp_path / "evil.pth", tmp_path / "out.ckpt"))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_bit_flipped_in_a_pth_file_is_seen(tmp_path, capsys, is_zip):
    """PyTorch does not look at the checksums that are in it; before version 1.6 there were none."""
    torch = pytest.importorskip("torch")
    path, weight = tmp_path / "net.pth", torch.arange(60.0).reshape(6, 10)
    torch.save({"state_dict": {"weight": weight}}, path, _use_new_zipfile_serialization=is_zip)
    np.testing.assert_array_equal(read_weights(str(path))[0]["weight"], weight)
    line = f"{path}: has no checksums, as files of PyTorch before 1.6; damage would not be seen\n"
    assert capsys.readouterr().out == ("" if is_zip else line)
    content = path.read_bytes()
    place = content.index(weight.numpy().tobytes()) + 42
    path.write_bytes(content[:place] + bytes([content[place] ^ 64]) + content[place + 1 :])
    if is_zip:
        with pytest.raises(UserError, match=r"net\.pth: damaged, its checksums do not hold \(net/data/0\); copy it"):
            read_weights(str(path))
