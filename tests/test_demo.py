"""demo.py: the page's start and end; what is on it is tests/page's."""

import os
import subprocess
import sys

import pytest
from conftest import PATIENCE_SECONDS, ROOT
from served import serving

import demo
from common.errors import UserError
from page import blocks


def test_listens_on_this_machine_alone_asks_nobody_and_leaves_nothing(tmp_path):
    pytest.importorskip("gradio", reason="requirements/page.txt is not installed")
    with serving(tmp_path) as served:
        port = int(served.url.rstrip("/").rpartition(":")[2])
        assert served.url == f"http://127.0.0.1:{port}/"
        with open("/proc/net/tcp") as file:
            listening = [line.split()[1] for line in file if line.split()[3] == "0A"]
        assert [place for place in listening if place.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]
        assert refusal("--port", str(port)) == f"error: --port {port}: is taken; choose another\n"
        assert any(name.startswith("conv-tasnet-") for name in os.listdir(tmp_path))
        assert served.end() == 143
        assert served.watched() == ""
        assert not any(name.startswith("conv-tasnet-") for name in os.listdir(tmp_path))


def refusal(*options):
    """What a demo.py that ends at once, with status 2, says."""
    command = [sys.executable, "demo.py", "--device_target", "CPU", *options]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert ran.returncode == 2, ran.stderr
    return ran.stderr


def test_without_gradio_a_line_names_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(UserError, match=r"the page needs Gradio \(.*\); pip install -r requirements/page\.txt"):
        blocks.open_page(str(tmp_path), blocks.checkpoints(), None, None)


@pytest.mark.parametrize("port", ["0", "65536", "-1"])
def test_a_port_that_cannot_be(port):
    with pytest.raises(UserError, match=f"--port {port}: must be from 1 to 65535"):
        demo.main(["--port", port, "--device_target", "CPU"])


def test_a_checkpoint_that_is_not_there():
    with pytest.raises(UserError, match=r"nowhere\.ckpt: "):
        demo.main(["--model_path", "nowhere.ckpt", "--device_target", "CPU"])


def test_all_that_are_shipped_can_be_chosen_and_ones_own_first():
    names = [name for name, _ in blocks.checkpoints()]
    assert names[0] == "libri2mix_8k.ckpt" and "libri2mix_8k_causal.ckpt" in names
    assert blocks.checkpoints("exp/best.ckpt") == [("best.ckpt", "exp/best.ckpt"), *blocks.checkpoints()]
