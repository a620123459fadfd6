"""Recordings of two tones, and a network that is known to the sample, which separates them; a plugin of conftest.py."""

from types import SimpleNamespace

import numpy as np
import pytest
import soundfile


class BandNet:
    """Separates the spectrum below 1000 Hz from that above, at wrong levels, one upside down."""

    options, sample_rate = SimpleNamespace(C=2, hop=10), 8000

    def __call__(self, mixture, lengths):
        self.shape = mixture.shape
        spectrum = np.fft.rfft(mixture.asnumpy(), axis=1)
        low = np.fft.rfftfreq(mixture.shape[1], 1 / self.sample_rate) < 1000
        signals = [np.fft.irfft(spectrum * band, n=mixture.shape[1], axis=1) for band in (low, ~low)]
        import mindspore as ms

        return ms.Tensor(np.stack([-5 * signals[0], 0.2 * signals[1]], axis=1).astype(np.float32))


def tones(length, sample_rate, level=0.3):
    """Two tones [2, T], of 300 and 2500 Hz."""
    time = np.arange(length) / sample_rate
    return level * np.sin(2 * np.pi * np.outer([300, 2500], time)).astype(np.float32)


def write(path, samples, sample_rate=8000, subtype="FLOAT"):
    soundfile.write(path, samples, sample_rate, subtype=subtype)
    return str(path)


@pytest.fixture
def band_main(tmp_path, monkeypatch):
    """Runs the script with BandNet on some files; the estimates go to `tmp_path / "out"`."""
    import separate as script

    monkeypatch.setattr(script, "load_network", lambda args: BandNet())
    options = ["--out_dir", str(tmp_path / "out"), "--model_path", "any", "--device_target", "CPU"]
    return lambda *files: script.main([*map(str, files), *options])


def written(folder):
    """Names of all files in the folder `out`, however deep; no hidden one may be left."""
    return sorted(str(path.relative_to(folder / "out")) for path in (folder / "out").rglob("*") if path.is_file())
