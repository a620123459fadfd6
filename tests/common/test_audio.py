"""common/audio.py: any stretch at any rate equals that of the whole file; bad files are one clear line."""

import math

import librosa
import numpy as np
import pytest
import soundfile
from scipy.signal import firwin, resample_poly

from common import audio
from common.audio import audio_info, read_audio, resample_as_librimix, write_wav
from common.errors import UserError


def noise(*shape):
    return np.random.default_rng(0).uniform(-0.5, 0.5, shape).astype(np.float32)


def write(path, samples, rate, subtype="FLOAT", **more):
    soundfile.write(path, samples, rate, subtype=subtype, **more)
    return str(path)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100])
def test_any_stretch_equals_that_of_the_whole_file(tmp_path, rate):
    path, samples = write(tmp_path / "a.wav", noise(9001), rate), noise(9001)
    whole = samples if rate == 8000 else librosa.resample(samples, orig_sr=rate, target_sr=8000, res_type="polyphase")
    np.testing.assert_array_equal(read_audio(path, 8000), whole)
    assert audio_info(path).frames_at(8000) == len(whole)
    for start, length in (
        (0, 1),
        (0, 700),
        (1, 700),
        (333, 501),
        (len(whole) - 100, 100),
        (len(whole), 0),
    ):
        part = read_audio(path, 8000, start, length)
        np.testing.assert_allclose(part, whole[start : start + length], atol=1e-5)
        assert part.dtype == np.float32


@pytest.mark.parametrize(
    ("name", "subtype"),
    [("a.flac", "PCM_16"), ("a.wav", "PCM_24"), ("a.ogg", "VORBIS")],
)
def test_formats(tmp_path, name, subtype):
    time = np.arange(8000) / 8000
    samples = 0.4 * np.sin(2 * np.pi * 300 * time).astype(np.float32)
    path = write(tmp_path / name, samples, 8000, subtype)
    found = read_audio(path, 8000, 1000, 5000)
    np.testing.assert_allclose(found, samples[1000:6000], atol=0.05 if name.endswith("ogg") else 1e-4)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "ULAW"])
def test_an_odd_number_of_bytes_is_whole(tmp_path, subtype):
    path = write(tmp_path / "a.wav", noise(801), 8000, subtype)
    np.testing.assert_array_equal(read_audio(path, 8000), soundfile.read(path, dtype="float32")[0])


def refused(function, path, *more):
    with pytest.raises(UserError) as error:
        function(path, *more)
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message


def test_bad_files(tmp_path):
    assert "no such file" in refused(audio_info, str(tmp_path / "none.wav"))
    (tmp_path / "text.wav").write_text("hello")
    assert "not an audio file" in refused(audio_info, str(tmp_path / "text.wav"))
    (tmp_path / "bare.raw").write_bytes(bytes(100))
    assert "not an audio file" in refused(audio_info, str(tmp_path / "bare.raw"))
    assert "2 channels" in refused(audio_info, write(tmp_path / "stereo.wav", noise(100, 2), 8000))
    assert "no samples" in refused(audio_info, write(tmp_path / "empty.wav", noise(0), 8000))
    broken = noise(100)
    broken[50] = np.nan
    assert "NaN" in refused(read_audio, write(tmp_path / "nan.wav", broken, 8000), 8000)


@pytest.mark.parametrize("rate", [1, 2, 7, 999, 768_001, 10_000_019, 100_000_007])
def test_a_rate_that_cannot_be(tmp_path, rate):
    path = write(tmp_path / "a.wav", noise(100), rate)
    for function, more in ((audio_info, ()), (read_audio, (8000,))):
        assert f"its header says {rate} Hz, which is not from 1000 to 768000" in refused(function, path, *more)


@pytest.mark.parametrize("rate", [1000, 768_000, 7999, 11127])
def test_rates_that_can_be(tmp_path, rate):
    path = write(tmp_path / "a.wav", noise(5000), rate)
    assert len(read_audio(path, 8000)) == audio_info(path).frames_at(8000)


def test_a_ratio_of_huge_terms_builds_no_filter(tmp_path, monkeypatch):
    monkeypatch.setattr("scipy.signal.firwin", None)
    path = write(tmp_path / "a.wav", noise(100), 767_999)
    assert "767999 Hz, which is resampled to 8000 Hz by 8000/767999" in refused(read_audio, path, 8000)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.aiff", "a.au", "a.w64", "a.rf64"])
@pytest.mark.parametrize("part", [0.3, 0.9])
def test_cut_file(tmp_path, name, part):
    path = tmp_path / name
    write(path, noise(20000), 8000, "PCM_16")
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    refused(read_audio, str(path), 8000)


@pytest.mark.parametrize(("start", "length"), [(-1, 10), (0, 101), (100, 1), (200, 0)])
def test_stretch_outside_the_file(tmp_path, start, length):
    path = write(tmp_path / "a.wav", noise(100), 8000)
    assert "but it has 100" in refused(read_audio, path, 8000, start, length)


def test_written_file(tmp_path):
    samples = noise(777)
    write_wav(str(tmp_path / "a.wav"), samples, 16000)
    found, rate = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert rate == 16000
    np.testing.assert_array_equal(found, np.rint(samples.astype(np.float64) * 32768))
    assert [file.name for file in tmp_path.iterdir()] == ["a.wav"]
    write_wav(str(tmp_path / "a.wav"), 3 * samples, 16000, "FLOAT")
    np.testing.assert_array_equal(read_audio(str(tmp_path / "a.wav"), 16000), 3 * samples)


def test_loud_samples_stop_at_full_scale(tmp_path):
    write_wav(str(tmp_path / "a.wav"), np.array([1.5, -1.5, 1.0], np.float32), 8000)
    assert soundfile.read(tmp_path / "a.wav", dtype="int16")[0].tolist() == [
        32767,
        -32768,
        32767,
    ]


def test_bad_place_to_write(tmp_path):
    refused(
        lambda path: write_wav(path, noise(10), 8000),
        str(tmp_path / "missing" / "a.wav"),
    )
    (tmp_path / "folder").mkdir()
    refused(lambda path: write_wav(path, noise(10), 8000), str(tmp_path / "folder"))
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("rate", [11025, 16000, 44100, 48000])
@pytest.mark.parametrize("channels", [(), (2,)])
def test_resampling_is_scipys_to_the_bit(rate, channels):
    samples = np.random.default_rng(rate).standard_normal((3001, *channels)).astype(np.float32)
    up, down = 8000 // math.gcd(8000, rate), rate // math.gcd(8000, rate)
    for _ in range(2):  # the filter is as it was when it is used again
        np.testing.assert_array_equal(resample_as_librimix(samples, up, down), resample_poly(samples, up, down))


def test_the_filter_of_two_rates_is_designed_once(tmp_path, monkeypatch):
    """For crops of 4 s of 44.1 kHz, which are read a hundred times a second, that would be a fourth of the time."""
    designed = []
    monkeypatch.setattr("scipy.signal.firwin", lambda *args, **how: designed.append(args) or firwin(*args, **how))
    audio.low_pass.cache_clear()
    soundfile.write(tmp_path / "x.wav", np.zeros(4410), 44100)
    for start in range(3):
        read_audio(tmp_path / "x.wav", 8000, start, 100)
    assert len(designed) == 1
