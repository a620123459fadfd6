"""Weights of three PyTorch implementations give their own outputs, losses and gradients here."""

import json

import mindspore as ms
import numpy as np
import pytest

import convert
from errors import UserError
from model import load_model

FILES = [
    "kaituoxu_gLN",
    "kaituoxu_BN",
    "kaituoxu_cLN_causal_softmax_C3",
    "asteroid_skip_gLN_sigmoid",
    "asteroid_noskip_cLN_causal_relu",
    "torchaudio_base",
]


@pytest.fixture(params=FILES)
def reference(request, shared, tmp_path, device):
    """A parity file's arrays and the network that its weights were converted to."""
    path = shared / "parity" / f"{request.param}.npz"
    source = request.param.split("_")[0]
    convert.main(["--source", source, str(path), str(tmp_path / "out.ckpt"), "--device_target", "CPU"])
    return dict(np.load(path)), load_model(tmp_path / "out.ckpt")


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE], ids=["graph", "pynative"])
def test_output_equals_the_source(reference, mode):
    arrays, net = reference
    ms.set_context(mode=mode)
    try:
        estimate = net(ms.Tensor(arrays["mix"])).asnumpy()
    finally:
        ms.set_context(mode=ms.GRAPH_MODE)
    assert estimate.shape == arrays["est"].shape
    difference = np.abs(estimate - arrays["est"]).max()
    print(difference, np.abs(arrays["est"]).max())
    assert difference < 1e-5
    assert difference < 1e-4 * np.abs(arrays["est"]).max()
