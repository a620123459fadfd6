"""common/media.py: files that libsndfile does not read, made with the encoders of PyAV's own wheel."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from scipy.signal import butter, lfilter

from common import media
from common.audio import audio_info, decode, read_audio
from common.audio_file import AudioFile
from common.errors import UserError

av = pytest.importorskip("av", reason="requirements/formats.txt is not installed")


def hum(samples, rate, channels=1, seed=0):
    """Noise in the band of speech, float32 [channels, samples]: each lag of it is unlike the others."""
    noise = np.random.default_rng(seed).normal(size=(channels, samples))
    noise = lfilter(*butter(2, [300, 1500], "band", fs=rate), noise, axis=1)
    return (0.5 * noise / np.abs(noise).max()).astype(np.float32)


def encode(path, container, codec, samples, rate, video=None, tracks=1, texts=None, **options):
    """Write samples [channels, T] as a file, the same in each track, beside a moving picture where one is wanted."""
    layout = {1: "mono", 2: "stereo"}[len(samples)]
    with av.open(str(path), "w", format=container, options=options) as file:
        file.metadata.update(texts or {})
        if video:
            picture = file.add_stream(video, rate=25)
            picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        sounds = [file.add_stream(codec, rate=rate, layout=layout) for _ in range(tracks)]
        for sound in sounds:
            if codec == "wmav2":
                sound.bit_rate = 128000
        if video:
            for number in range(25 * samples.shape[1] // rate):
                frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number % 256, np.uint8), format="rgb24")
                frame.pts = number
                file.mux(picture.encode(frame))
            file.mux(picture.encode(None))
        for sound in sounds:
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
            frame.sample_rate, frame.pts = rate, 0
            file.mux(sound.encode(frame))
            file.mux(sound.encode(None))
    return str(path)


def best_lag(found, source):
    """Samples by which `found` [T] is later than `source` [T]."""
    size = 2 * max(len(found), len(source))
    likeness = np.fft.irfft(np.fft.rfft(found, size) * np.conj(np.fft.rfft(source, size)), size)
    lag = int(likeness.argmax())
    return lag - size if lag > size // 2 else lag


def snr(found, source):
    """Of the two where both are, but for their ends, in dB."""
    n = min(len(found), len(source)) - 300
    noise = np.sum((found[300:n] - source[300:n]) ** 2)
    return 10 * np.log10(np.sum(source[300:n] ** 2) / max(noise, 1e-30))


LENGTHS = [
    # name, container, codec, rate, channels, a moving picture, fewest dB, most samples more than the source's
    ("a.m4a", "ipod", "aac", 44100, 2, None, 15, 1024),
    ("a.mp4", "mp4", "aac", 48000, 2, "mpeg4", 15, 1024),
    ("lossless.m4a", "ipod", "alac", 44100, 2, None, 90, 0),
    ("a.webm", "webm", "libopus", 48000, 1, None, 10, 0),
    ("video.webm", "webm", "libopus", 48000, 2, "libvpx", 10, 0),
    ("a.mkv", "matroska", "libmp3lame", 44100, 1, None, 10, 0),
    ("fine.mkv", "matroska", "pcm_s24le", 44100, 2, None, 110, 0),
    ("a.mov", "mov", "pcm_f32le", 44100, 2, None, 200, 0),
    ("a.avi", "avi", "pcm_s16le", 16000, 2, "mpeg4", 70, 0),
    ("coarse.mov", "mov", "pcm_u8", 8000, 1, None, 25, 0),
]


class TestFormats:
    @pytest.mark.parametrize(
        ("name", "container", "codec", "rate", "channels", "video", "least", "more"),
        LENGTHS,
        ids=[entry[0] for entry in LENGTHS],
    )
    def test_samples_are_those_of_the_source_in_their_places(
        self, tmp_path, name, container, codec, rate, channels, video, least, more
    ):
        source = hum(3 * rate + 1234, rate, channels)
        path = encode(tmp_path / name, container, codec, source, rate, video)
        info = audio_info(path, "all")
        assert info.sample_rate == rate and not info.note
        assert 0 <= info.frames - source.shape[1] <= more
        found = decode(path, 0, info.frames, "all")  # [T, channels]
        assert found.dtype == np.float32 and found.shape == (info.frames, channels)
        for channel in range(channels):
            assert best_lag(found[:, channel], source[channel]) == 0
            assert snr(found[:, channel], source[channel]) >= least

    @pytest.mark.parametrize(
        ("name", "container", "codec", "rate", "more"),
        [
            ("a.amr", "amr", "libopencore_amrnb", 8000, 320),
            ("a.3gp", "3gp", "libopencore_amrnb", 8000, 320),
            ("a.wma", "asf", "wmav2", 44100, 4096),
            ("a.aac", "adts", "aac", 44100, 2048),
            ("a.mpg", "mpeg", "mp2", 44100, 1152),
            ("a.flv", "flv", "aac", 44100, 2048),
        ],
    )
    def test_coarse_ones_and_those_that_keep_their_codecs_delay(self, tmp_path, name, container, codec, rate, more):
        source = hum(3 * rate + 1234, rate)
        path = encode(tmp_path / name, container, codec, source, rate)
        info = audio_info(path)
        assert info.sample_rate == rate
        assert -more <= info.frames - source.shape[1] <= more
        found = decode(path, 0, info.frames)
        lag = best_lag(found, source[0])
        assert abs(lag) <= more
        shifted = found[max(lag, 0) :], source[0][max(-lag, 0) :]
        assert np.corrcoef(*(each[500:20000] for each in shifted))[0, 1] > 0.6

    def test_a_live_recording_whose_header_has_no_length(self, tmp_path):
        """As browsers record it: nothing in front says how much will come."""
        source = hum(3 * 48000, 48000)
        path = encode(tmp_path / "a.webm", "webm", "libopus", source, 48000, live="1")
        with av.open(path) as container:
            assert container.duration is None
        assert audio_info(path).frames == 3 * 48000

    def test_what_it_is_decides_and_not_its_name(self, tmp_path):
        path = encode(tmp_path / "a.m4a", "ipod", "aac", hum(9000, 44100), 44100)
        os.rename(path, tmp_path / "a.wav")
        assert audio_info(tmp_path / "a.wav").frames == audio_info(tmp_path / "a.wav").frames_at(44100) >= 9000

    def test_a_name_that_is_not_utf_8(self, tmp_path):
        path = encode(tmp_path / "a.m4a", "ipod", "aac", hum(9000, 44100), 44100)
        odd = os.path.join(os.fsencode(tmp_path), b"caf\xe9.m4a")
        os.rename(path, odd)
        assert audio_info(os.fsdecode(odd)).frames >= 9000

    def test_stretches_are_those_of_the_whole_wherever_they_lie(self, tmp_path):
        path = encode(tmp_path / "a.m4a", "ipod", "aac", hum(5 * 44100, 44100, 2), 44100)
        with AudioFile(path) as file:
            whole = file.read(0, file.frames)
            for first, stop in ((0, 10), (100000, 170000), (90000, 180000), (5, 7), (200000, file.frames), (0, 1)):
                np.testing.assert_array_equal(file.read(first, stop), whole[first:stop])
        np.testing.assert_array_equal(decode(path, 70000, 80000, "all"), whole[70000:80000])
        assert len(read_audio(path, 8000, channel="mix")) == -(-len(whole) * 8000 // 44100)

    def test_texts_and_how_fine_it_is(self, tmp_path):
        texts = {"title": "Weekly meeting", "artist": "Ann", "track": "3", "encoder": "x"}
        source = hum(9000, 44100)
        for name, container, codec, subtype in (
            ("a.m4a", "ipod", "aac", "AAC"),
            ("b.mkv", "matroska", "pcm_s24le", "PCM_32"),
            ("c.mov", "mov", "pcm_s16le", "PCM_16"),
            ("d.mov", "mov", "pcm_f32le", "FLOAT"),
        ):
            with AudioFile(encode(tmp_path / name, container, codec, source, 44100, texts=texts)) as file:
                assert file.subtype == subtype
                if name in ("a.m4a", "b.mkv"):
                    assert file.metadata["title"] == "Weekly meeting" and file.metadata["artist"] == "Ann"
                    assert set(file.metadata) <= {"title", "artist", "tracknumber"}

    def test_of_several_tracks_one_is_taken_and_it_is_said(self, tmp_path):
        path = encode(tmp_path / "a.mkv", "matroska", "aac", hum(44100, 44100), 44100, tracks=2)
        assert audio_info(path).note.startswith("has 2 sound tracks, of which one is taken")


class TestBadFiles:
    def refused(self, path):
        with pytest.raises(UserError) as error:
            audio_info(path)
        assert "\n" not in str(error.value) and str(error.value).startswith(str(path))
        return str(error.value)

    def test_whatever_is_cut_off_or_damaged_is_one_line_or_a_note(self, tmp_path):
        source, random = hum(3 * 44100, 44100), np.random.default_rng(1)
        for name, container, codec, video, options in (
            ("a.m4a", "ipod", "aac", None, {}),
            ("b.m4a", "ipod", "aac", None, {"movflags": "faststart"}),
            ("c.mp4", "mp4", "aac", "mpeg4", {"movflags": "frag_keyframe+empty_moov"}),
            ("d.webm", "webm", "libopus", "libvpx", {}),
            ("e.wma", "asf", "wmav2", None, {}),
        ):
            path = tmp_path / name
            rate = 48000 if codec == "libopus" else 44100
            content = Path(encode(path, container, codec, source, rate, video, **options)).read_bytes()
            for size in (*range(0, 300, 60), len(content) // 3, len(content) * 2 // 3):
                path.write_bytes(content[:size])
                try:
                    assert audio_info(path).note.startswith("its header promises")
                except UserError as error:
                    assert str(error).startswith(str(path)) and "\n" not in str(error)
            for _ in range(5):
                damaged = bytearray(content)
                at = random.integers(len(content) - 500)
                damaged[at : at + 500] = random.bytes(500)
                path.write_bytes(damaged)
                try:
                    info = audio_info(path)
                    assert len(decode(path, 0, info.frames)) == info.frames
                except UserError as error:
                    assert str(error).startswith(str(path)) and "\n" not in str(error)

    def test_damaged_sound_is_said_to_be_so(self, tmp_path):
        path = encode(tmp_path / "a.m4a", "ipod", "aac", hum(3 * 44100, 44100), 44100)
        content = bytearray(Path(path).read_bytes())
        content[5000:9000] = bytes(np.random.default_rng(0).bytes(4000))
        (tmp_path / "a.m4a").write_bytes(content)
        assert "cannot be decoded (FFmpeg finds errors in its sound); it is damaged or cut short" in self.refused(path)

    def test_a_header_that_promises_more(self, tmp_path):
        path = encode(tmp_path / "a.webm", "webm", "libopus", hum(3 * 48000, 48000), 48000)
        content = Path(path).read_bytes()
        (tmp_path / "a.webm").write_bytes(content[: len(content) // 2])
        assert audio_info(path).note.startswith("its header promises 3.0 s, and there is sound of 1.")

    def test_a_video_without_sound(self, tmp_path):
        with av.open(str(tmp_path / "a.mp4"), "w") as file:
            picture = file.add_stream("mpeg4", rate=25)
            picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
            file.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
            file.mux(picture.encode(None))
        assert "nor FFmpeg (no sound in it that it knows)" in self.refused(tmp_path / "a.mp4")

    @pytest.mark.parametrize("ending", ["m3u8", "m4a", "ffconcat"])
    def test_play_lists_are_not_followed(self, tmp_path, ending):
        encode(tmp_path / "secret.m4a", "ipod", "aac", hum(9000, 44100), 44100)
        path = tmp_path / f"list.{ending}"
        for text in (
            "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.m4a\n#EXT-X-ENDLIST\n",
            "ffconcat version 1.0\nfile secret.m4a\n",
        ):
            path.write_text(text)
            assert "not an audio file" in self.refused(path)


class TestWithoutTheExtra:
    @pytest.fixture(autouse=True)
    def lacking(self, monkeypatch):
        monkeypatch.setattr(media, "has_reader", lambda: False)

    @pytest.mark.parametrize(
        ("name", "container", "codec"),
        [
            *(("a.m4a", "ipod", "aac"), ("a.webm", "webm", "libopus"), ("a.wma", "asf", "wmav2")),
            *(("a.aac", "adts", "aac"), ("a.ts", "mpegts", "aac"), ("a.flv", "flv", "aac"), ("a.avi", "avi", "aac")),
        ],
    )
    def test_the_line_names_it_whatever_the_file_is_called(self, tmp_path, name, container, codec):
        path = encode(tmp_path / name, container, codec, hum(48000, 48000), 48000)
        for called in (name, "recording"):
            os.rename(path, tmp_path / called)
            path = str(tmp_path / called)
            with pytest.raises(UserError, match=r"can read \(.*\); pip install -r requirements/formats\.txt brings"):
                audio_info(path)

    def test_not_of_files_that_it_would_not_read(self, tmp_path):
        (tmp_path / "x.wav").write_text("not audio")
        with pytest.raises(UserError, match=r"x\.wav: not an audio file that libsndfile can read \([^)]*\)$"):
            audio_info(tmp_path / "x.wav")


MEASURED = """
import re, sys
from common.audio_file import AudioFile
with AudioFile(sys.argv[1]) as file:
    for start in range(0, file.frames - 200000, 100000):
        file.read(start, start + 200000)
    print(file.frames, re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""


@pytest.mark.alone
def test_memory_does_not_grow_with_the_length(tmp_path):
    peaks = []
    for minutes in (1, 20):
        rate = 16000
        path = encode(tmp_path / f"{minutes}.m4a", "ipod", "aac", hum(60 * minutes * rate, rate), rate)
        ran = subprocess.run([sys.executable, "-c", MEASURED, path], cwd=ROOT, capture_output=True, text=True)
        frames, peak = map(int, ran.stdout.split())
        assert frames >= 60 * minutes * rate, ran.stderr
        peaks.append(peak)
    assert peaks[1] < peaks[0] + 20000  # KiB; 20 minutes are 77 MB as floats
