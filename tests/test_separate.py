"""separate.py: rates, lengths, levels, files; with a network that is known to the sample, and with a real one."""

import io
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest
import soundfile
from formulas import paper_si_snr

import separate as script
from common.errors import UserError
from common.estimates import mixture_gains
from model import ConvTasNet, load_model
from network.checkpoint import write_checkpoint
from network.options import NetworkOptions
from recordings import inputs
from separate import separate

ROOT = Path(__file__).parent.parent


class BandNet:
    """Separates the spectrum below 1000 Hz from that above, at wrong levels, one upside down."""

    options, sample_rate = SimpleNamespace(C=2, hop=10), 8000

    def __call__(self, mixture, lengths):
        self.shape = mixture.shape
        spectrum = np.fft.rfft(mixture.asnumpy(), axis=1)
        low = np.fft.rfftfreq(mixture.shape[1], 1 / self.sample_rate) < 1000
        signals = [np.fft.irfft(spectrum * band, n=mixture.shape[1], axis=1) for band in (low, ~low)]
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
    monkeypatch.setattr(script, "load_model", lambda path: BandNet())
    options = ["--out_dir", str(tmp_path / "out"), "--model_path", "any", "--device_target", "CPU"]
    return lambda *files: script.main([*map(str, files), *options])


def written(folder):
    """Names of all files in the folder `out`, however deep; no hidden one may be left."""
    return sorted(str(path.relative_to(folder / "out")) for path in (folder / "out").rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.ckpt"
    write_checkpoint(str(path), ConvTasNet(NetworkOptions(N=16, L=8, B=8, H=8, X=1, R=1, C=3), 8000))
    return str(path)


@pytest.mark.parametrize("sample_rate", [8000, 11025, 16000, 44100, 48000])
@pytest.mark.parametrize("length", [1, 5, 4003, 20011])
def test_length_is_that_of_the_recording_at_any_rate(sample_rate, length):
    estimates = separate(BandNet(), tones(length, sample_rate).sum(0), sample_rate)
    assert estimates.shape == (2, length)
    assert estimates.dtype == np.float32
    assert np.isfinite(estimates).all()


@pytest.mark.parametrize("sample_rate", [8000, 44100])
def test_levels_and_signs_are_those_in_the_recording(sample_rate):
    sources = tones(2 * sample_rate + 1, sample_rate) * [[1], [0.25]]
    estimates = separate(BandNet(), sources.sum(0), sample_rate)
    middle = slice(sample_rate // 10, -sample_rate // 10)  # the network's own bands leak at the ends
    assert np.allclose(estimates[:, middle], sources[:, middle], atol=6e-3)
    assert min(map(paper_si_snr, sources, estimates)) > 20


def test_few_shapes_are_compiled():
    shapes = set()
    for length in range(7300, 7999, 100):
        net = BandNet()
        separate(net, tones(length, 8000).sum(0), 8000)
        shapes.add(net.shape)
    assert shapes == {(1, 8000)}


def test_gains_are_those_of_least_squares():
    estimates = np.random.default_rng(0).normal(size=(3, 500))
    mixture = np.array([2, -0.5, 30]) @ estimates + 0.1 * np.random.default_rng(1).normal(size=500)
    assert np.allclose(mixture_gains(estimates, mixture), np.linalg.lstsq(estimates.T, mixture, rcond=None)[0])


def test_estimates_that_are_alike_or_silent_keep_the_levels_between_them():
    mixture = np.random.default_rng(0).normal(size=500)
    estimates = np.stack([4 * mixture, mixture, 0 * mixture])
    assert np.allclose(
        (mixture_gains(estimates, mixture)[:, np.newaxis] * estimates)[:2], [0.8 * mixture, 0.2 * mixture]
    )
    noise = np.random.default_rng(1).normal(size=(3, 500))
    almost = estimates + 1e-3 * noise * [[1], [1], [0]]
    assert np.allclose(mixture_gains(almost, mixture + 0.1 * noise[2])[:2], 0.2, atol=0.01)
    assert np.isfinite(mixture_gains(estimates, 0 * mixture)).all()


@pytest.mark.parametrize(("level", "subtype"), [(0.3, "PCM_16"), (3.0, "FLOAT")])
def test_files_add_up_to_the_recording_and_are_not_clipped(tmp_path, band_main, capsys, level, subtype):
    mixture = tones(16001, 8000, level).sum(0)
    band_main(write(tmp_path / "loud.v2.wav", mixture, subtype=subtype))
    paths = [tmp_path / "out" / f"loud.v2_s{number}.wav" for number in (1, 2)]
    assert sorted(paths) == sorted((tmp_path / "out").iterdir())
    assert {soundfile.info(path).subtype for path in paths} == {subtype}
    estimates = np.stack([soundfile.read(path)[0] for path in paths])
    assert np.abs(estimates).max() == pytest.approx(level, rel=0.1)
    assert np.abs(estimates.sum(0) - mixture).max() < 1e-4
    assert ("32-bit float" in capsys.readouterr().out) == (subtype == "FLOAT")


def test_files_have_the_rate_and_length_of_the_recording(tmp_path, band_main):
    band_main(write(tmp_path / "a.flac", tones(44107, 44100).sum(0), 44100, "PCM_16"), write(tmp_path / "b.wav", [0.5]))
    for name, frames, sample_rate in (("a_s1", 44107, 44100), ("a_s2", 44107, 44100), ("b_s2", 1, 8000)):
        info = soundfile.info(tmp_path / "out" / f"{name}.wav")
        assert (info.frames, info.samplerate, info.channels) == (frames, sample_rate, 1)


def test_real_network_separates_from_the_command_line(tmp_path, checkpoint):
    random = np.random.default_rng(0)
    noise = write(tmp_path / "noise.wav", 0.1 * random.normal(size=1503), 16000)
    silence = write(tmp_path / "silence.wav", np.zeros(795))
    command = [sys.executable, ROOT / "separate.py", "--model_path", checkpoint, noise, silence]
    done = subprocess.run([*command, "--out_dir", tmp_path / "o"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    estimates = np.stack([soundfile.read(tmp_path / "o" / f"noise_s{number}.wav")[0] for number in (1, 2, 3)])
    mixture, _ = soundfile.read(noise)
    assert estimates.shape == (3, 1503)
    assert np.sum((mixture - estimates.sum(0)) ** 2) < np.sum(mixture**2)
    for number in (1, 2, 3):
        samples, _ = soundfile.read(tmp_path / "o" / f"silence_s{number}.wav")
        assert len(samples) == 795 and not samples.any()


def make_bad(folder, kind):
    path = folder / f"{kind}.wav"
    if kind == "empty":
        write(path, np.zeros(0))
    elif kind == "truncated":
        whole = Path(write(path, tones(1000, 8000)[0])).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "text":
        path.write_text("not audio\n")
    elif kind == "nan":
        write(path, np.array([0, np.nan, 0]))
    elif kind == "folder":
        path.mkdir()
    return path


BAD = ["empty", "truncated", "text", "nan", "missing"]


@pytest.mark.parametrize("kind", [*BAD, "folder"])
def test_one_bad_file_is_one_error_that_names_it(tmp_path, band_main, kind):
    bad = make_bad(tmp_path, kind)
    with pytest.raises(UserError) as raised:
        band_main(bad)
    assert str(raised.value).startswith(f"{bad}: ")
    assert "\n" not in str(raised.value)
    assert not written(tmp_path)


def test_bad_files_do_not_keep_others_from_being_separated(tmp_path, band_main, capsys):
    bad = [make_bad(tmp_path, kind) for kind in BAD]
    good = write(tmp_path / "good.wav", tones(800, 8000).sum(0))
    with pytest.raises(UserError, match="5 of 6 files"):
        band_main(*bad, good)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert sorted(line.split(": ")[1] for line in lines) == sorted(map(str, bad))
    assert sorted(os.listdir(tmp_path / "out")) == ["good_s1.wav", "good_s2.wav"]


def test_two_recordings_of_one_name_are_an_error_before_anything_is_written(tmp_path, band_main):
    (tmp_path / "b").mkdir()
    first, second = (
        write(tmp_path / "x.wav", [0.1] * 50),
        write(tmp_path / "b" / "x.flac", [0.1] * 50, subtype="PCM_16"),
    )
    with pytest.raises(UserError, match=r"x\.flac: would be written to .*x_s1\.wav"):
        band_main(first, second)
    assert not (tmp_path / "out").exists()


def test_an_input_is_never_overwritten(tmp_path, band_main):
    (tmp_path / "out").mkdir()
    earlier = write(tmp_path / "out" / "x_s1.wav", [0.1] * 50)
    with pytest.raises(UserError, match="overwrite"):
        band_main(write(tmp_path / "x.wav", [0.1] * 50), earlier)
    assert os.listdir(tmp_path / "out") == ["x_s1.wav"]


def test_out_dir_that_cannot_be_made_is_an_error(tmp_path, band_main):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UserError, match="out: cannot be made"):
        band_main(write(tmp_path / "x.wav", [0.1] * 50))


def test_a_network_that_gives_nan_is_an_error(tmp_path, band_main, monkeypatch):
    monkeypatch.setattr(BandNet, "__call__", lambda self, mixture, lengths: ms.Tensor(np.full((1, 2, 800), np.nan)))
    with pytest.raises(UserError, match="NaN"):
        band_main(write(tmp_path / "x.wav", [0.1] * 50))
    assert not written(tmp_path)


def test_channels_are_mixed_or_chosen(tmp_path, band_main, capsys):
    stereo = np.stack([tones(8000, 8000).sum(0), 0.5 * tones(8000, 8000)[0]], axis=1)  # [T, 2]
    path = write(tmp_path / "stereo.wav", stereo)
    for options, expected in (
        ([], stereo.mean(1)),
        (["--channel", "1"], stereo[:, 0]),
        (["--channel", "2"], stereo[:, 1]),
    ):
        band_main(path, "--overwrite", *options)
        estimates = np.stack([soundfile.read(tmp_path / "out" / f"stereo_s{number}.wav")[0] for number in (1, 2)])
        np.testing.assert_allclose(estimates.sum(0)[800:-800], expected[800:-800], atol=2e-3)
    assert capsys.readouterr().out.count("channels are mixed") == 1
    with pytest.raises(UserError, match="no channel 3, only 2"):
        band_main(path, "--channel", "3", "--overwrite")
    with pytest.raises(UserError, match="--channel left"):
        band_main(path, "--channel", "left")


def test_folders_and_patterns(tmp_path, band_main, monkeypatch):
    """A folder's files keep their place within it; what is not audio is passed by."""
    for name in ("calls/a.wav", "calls/deep/a.flac", "calls/notes.txt", "x1.wav", "x2.wav", "y.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("txt"):
            (tmp_path / name).write_text("not audio")
        else:
            write(tmp_path / name, tones(400, 8000).sum(0), subtype="PCM_16")
    band_main(tmp_path / "calls", tmp_path / "x*.wav")
    names = [name for stem in ("a", "deep/a", "x1", "x2") for name in (f"{stem}_s1.wav", f"{stem}_s2.wav")]
    assert written(tmp_path) == sorted(names)
    with pytest.raises(UserError, match="no file is so named"):
        band_main(tmp_path / "z*.wav")


def test_what_is_there_stays_unless_told_otherwise(tmp_path, band_main):
    path = write(tmp_path / "x.wav", tones(400, 8000).sum(0))
    band_main(path)
    before = (tmp_path / "out" / "x_s1.wav").read_bytes()
    write(path, tones(300, 8000).sum(0))
    with pytest.raises(UserError, match="--overwrite"):
        band_main(path)
    assert (tmp_path / "out" / "x_s1.wav").read_bytes() == before
    band_main(path, "--overwrite")
    assert soundfile.info(tmp_path / "out" / "x_s1.wav").frames == 300


@pytest.mark.parametrize(
    ("given", "options", "expected"),
    [
        ("PCM_16", [], "PCM_16"),
        ("PCM_24", [], "PCM_24"),
        ("FLOAT", [], "FLOAT"),
        ("PCM_U8", [], "PCM_16"),
        ("PCM_16", ["--encoding", "24"], "PCM_24"),
        ("FLOAT", ["--encoding", "16"], "PCM_16"),
    ],
)
def test_resolution_and_texts_of_the_recording_are_kept(tmp_path, band_main, given, options, expected):
    path = str(tmp_path / "x.wav")
    with soundfile.SoundFile(path, "w", 8000, 1, given) as file:
        file.title = "A meeting"
        file.write(tones(800, 8000).sum(0))
    band_main(path, *options)
    with soundfile.SoundFile(tmp_path / "out" / "x_s2.wav") as file:
        assert (file.subtype, file.title, file.frames) == (expected, "A meeting", 800)


def test_a_step_of_24_bits_is_kept(tmp_path, band_main):
    """The sum of the estimates is the recording to the rounding of two files of 24 bits and of float32."""
    mixture = tones(8000, 8000).sum(0)
    band_main(write(tmp_path / "x.wav", mixture, subtype="PCM_24"))
    estimates = np.stack([soundfile.read(tmp_path / "out" / f"x_s{number}.wav")[0] for number in (1, 2)])
    given, _ = soundfile.read(tmp_path / "x.wav")
    assert np.abs(estimates.sum(0) - given).max() < 2e-6


def test_resampling_is_said_once(tmp_path, band_main, capsys):
    files = [write(tmp_path / f"{name}.wav", tones(4800, 48000).sum(0), 48000) for name in "abc"]
    band_main(*files)
    assert capsys.readouterr().out.count("resampled from 48000 Hz") == 1


@pytest.mark.parametrize("ending", ["mp3", "ogg", "flac"])
def test_pieces_of_a_compressed_file(tmp_path, band_main, ending):
    """Pieces are found in it to the sample: the estimates add up to the file as it is read from its start."""
    path = tmp_path / f"x.{ending}"
    soundfile.write(path, np.stack([tones(25 * 44100 + 5, 44100).sum(0)] * 2, axis=1), 44100)
    band_main(path)
    given = soundfile.read(path)[0].mean(1)
    estimates = np.stack([soundfile.read(tmp_path / "out" / f"x_s{number}.wav")[0] for number in (1, 2)])
    assert estimates.shape == (2, len(given))
    inside = slice(4410, -4410)
    np.testing.assert_allclose(estimates.sum(0)[inside], given[inside], atol=6e-3)


def test_standard_input_to_standard_output(checkpoint):
    mixture = tones(1600, 16000).sum(0)
    given = io.BytesIO()
    soundfile.write(given, mixture, 16000, format="WAV", subtype="FLOAT")
    command = [sys.executable, ROOT / "separate.py", "--model_path", checkpoint, "-"]
    done = subprocess.run(command, input=given.getvalue(), capture_output=True)
    assert done.returncode == 0, done.stderr
    estimates, sample_rate = soundfile.read(io.BytesIO(done.stdout))
    assert estimates.shape == (1600, 3)
    assert sample_rate == 16000
    np.testing.assert_allclose(estimates.T, separate(load_model(checkpoint), mixture, 16000), atol=1e-5)


@pytest.mark.slow
def test_memory_is_flat_in_the_length_of_a_recording(tmp_path, band_main, monkeypatch):
    """Neither the recording nor the estimates are ever whole in memory: the largest array is a piece."""
    largest = []
    decode = inputs.decode_open

    def noted(*args, **options):
        samples = decode(*args, **options)
        largest.append(len(samples))
        return samples

    monkeypatch.setattr(inputs, "decode_open", noted)
    band_main(write(tmp_path / "long.wav", np.tile(tones(8000, 8000).sum(0), 300), subtype="PCM_16"))
    assert soundfile.info(tmp_path / "out" / "long_s1.wav").frames == 300 * 8000
    assert len(largest) > 20
    assert max(largest) <= 17 * 8000
