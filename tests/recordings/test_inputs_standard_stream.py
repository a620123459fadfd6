"""Standard input: any format for `-`, wav as it comes for `--streaming -`, both whatever a header says."""

import io
import os
import shlex
import subprocess
import sys
import threading

import numpy as np
import pytest
import soundfile
from conftest import PATIENCE_SECONDS, ROOT
from small_recordings import BandNet, tones, written

from common.errors import UserError
from recordings.live_input import LiveInput

WORD = "standard input: its header was never completed, so it is read to its end"


def as_bytes(samples, sample_rate=8000, form="WAV", subtype="PCM_16"):
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate, subtype, format=form)
    return file.getvalue()


def with_length(content, size):
    at = content.index(b"data") + 4
    return content[:at] + size.to_bytes(4, "little") + content[at + 4 :]


@pytest.fixture(params=["file", "pipe"])
def give(request, tmp_path, monkeypatch):
    """Puts bytes on standard input."""
    opened = []

    def from_file(content):
        (tmp_path / "given").write_bytes(content)
        return open(tmp_path / "given", "rb")

    def from_pipe(content):
        source, sink = os.pipe()

        def write():
            with open(sink, "wb") as stream:
                stream.write(content)

        threading.Thread(target=write, daemon=True).start()
        return os.fdopen(source, "rb")

    def put(content):
        opened.append(from_file(content) if request.param == "file" else from_pipe(content))
        monkeypatch.setattr("sys.stdin", opened[-1])

    yield put
    for stream in opened:
        stream.close()


@pytest.fixture
def separated(monkeypatch, capfdbinary):
    """Separates standard input; gives the samples, and what was printed."""
    import separate as script

    monkeypatch.setattr(script, "load_network", lambda args: BandNet())

    def separate(*options):
        script.main(["-", "--model_path", "any", "--device_target", "CPU", *options])
        found = capfdbinary.readouterr()
        return soundfile.read(io.BytesIO(found.out))[0], found.err.decode()

    return separate


@pytest.mark.parametrize("size", [None, 0, 0xFFFFFFFF, 0x7FFFF000])
def test_an_unfinished_wav_is_separated_to_its_end_with_a_word(give, separated, size):
    mixture = tones(8001, 8000).sum(0)
    content = as_bytes(mixture)
    give(content if size is None else with_length(content, size))
    estimates, said = separated()
    assert estimates.shape == (8001, 2)
    np.testing.assert_allclose(estimates.sum(1)[800:-800], mixture[800:-800], atol=2e-3)
    assert (WORD in said) == (size is not None)


@pytest.mark.parametrize("size", [None, 0, 0xFFFFFFFF, 0x7FFFF000, 0xFFFFFFFF - 36])
@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_a_stream_is_read_to_its_end_with_a_word(give, capsys, size, subtype):
    mixture = tones(100_001, 8000).sum(0)
    content = as_bytes(mixture, subtype=subtype)
    give(content if size is None else with_length(content, size))
    found = []
    with LiveInput() as source:
        assert (source.samplerate, source.channels) == (8000, 1)
        while len(samples := source.read(160)):
            found.append(samples)
    np.testing.assert_allclose(np.concatenate(found), mixture, atol=2**-15)
    assert (WORD in capsys.readouterr().out) == (size is not None)


LONG, SHORT = (as_bytes(tones(samples, 8000).sum(0)) for samples in (8001, 5000))
MORE = "standard input: more follows the sound that its header tells of, and is passed by\n"


@pytest.mark.parametrize(
    ("content", "samples", "word"),
    [
        (LONG + SHORT, 8001, MORE),
        (with_length(LONG, 8000), 4000, MORE),
        (with_length(LONG, 16002) + b"LIST" + bytes(4), 8001, ""),
        (LONG[:-2000], 7001, "standard input: cut short, 7001 samples came of the 8001 that its header promises\n"),
        (as_bytes(tones(8001, 8000).sum(0), form="RF64"), 8001, ""),
    ],
    ids=["joined", "an old header", "a chunk", "cut", "RF64"],
)
def test_what_a_stream_has_besides_what_its_header_tells_is_said(give, capsys, content, samples, word):
    give(content)
    with LiveInput() as source:
        found = 0
        while read := len(source.read(160)):
            found += read
    assert (found, capsys.readouterr().out) == (samples, word)


def test_a_stream_that_cannot_be_decoded_as_it_comes_is_one_line(give):
    give(as_bytes(tones(80001, 8000).sum(0), form="MP3", subtype="MPEG_LAYER_III"))
    with (
        pytest.raises(UserError, match=r"standard input: cannot be decoded as it comes .*; pipe wav"),
        LiveInput() as it,
    ):
        while len(it.read(160)):
            pass


@pytest.mark.parametrize("options", [[], ["--streaming"]])
@pytest.mark.parametrize(("closed", "what"), [("<&-", "input"), ("< given.wav >&-", "output")])
def test_a_standard_stream_that_is_closed_is_one_line(tmp_path, options, closed, what):
    (tmp_path / "given.wav").write_bytes(SHORT)
    command = shlex.join([sys.executable, os.path.join(ROOT, "separate.py"), *options, "-"])
    done = subprocess.run(
        f"{command} {closed}", shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith(f"error: standard {what}: is closed")


@pytest.mark.parametrize(("form", "subtype"), [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")])
def test_other_formats(give, separated, form, subtype):
    give(as_bytes(tones(8001, 8000).sum(0), form=form, subtype=subtype))
    assert separated()[0].shape == (8001, 2)


@pytest.mark.parametrize("content", [b"", b"not audio\n" * 100, as_bytes(np.zeros(0)), as_bytes(tones(900, 8000).T)])
def test_what_cannot_be_separated_is_one_line(give, separated, content):
    give(content)
    with pytest.raises(UserError, match=r"standard input: [^\n]*$"):
        separated("--channel", "3")


def test_a_pattern_passes_a_pipe_by(tmp_path, band_main):
    """Which may have nobody who writes into it."""
    os.mkfifo(tmp_path / "pipe.wav")
    soundfile.write(tmp_path / "file.wav", tones(800, 8000).sum(0), 8000)
    band_main(tmp_path / "*.wav")
    assert written(tmp_path) == ["file_s1.wav", "file_s2.wav"]


def test_a_pipe_among_files_is_copied_first(tmp_path, band_main, capsys):
    """As `<(...)` gives it; its header was never completed."""
    mixture = tones(8001, 8000).sum(0)
    pipe = tmp_path / "63"
    os.mkfifo(pipe)
    threading.Thread(target=lambda: pipe.write_bytes(with_length(as_bytes(mixture), 0)), daemon=True).start()
    soundfile.write(tmp_path / "file.wav", mixture, 8000)
    band_main(pipe, tmp_path / "file.wav")
    assert written(tmp_path) == ["63_s1.wav", "63_s2.wav", "file_s1.wav", "file_s2.wav"]
    np.testing.assert_array_equal(*(soundfile.read(tmp_path / "out" / f"{name}_s1.wav")[0] for name in ("63", "file")))
    assert f"{pipe}: its header was never completed" in capsys.readouterr().out


def test_a_recording_that_libsndfile_cannot_seek_in_is_separated(tmp_path, band_main):
    path = tmp_path / "x.au"
    soundfile.write(path, tones(50 * 8000, 8000).sum(0), 8000, "G721_32")
    band_main(path)
    with soundfile.SoundFile(path) as file:
        given = file.read(file.frames)
    estimates = np.stack([soundfile.read(tmp_path / "out" / f"x_s{number}.wav")[0] for number in (1, 2)])
    np.testing.assert_allclose(estimates.sum(0)[800:-800], given[800:-800], atol=6e-3)
