"""common/audio_file.py: all that a file holds is read, whatever its header says of its length."""

import os

import numpy as np
import pytest
import soundfile

from common import audio_file, audio_stream
from common.audio import audio_info, decode, read_audio
from common.errors import UserError

RATE, FRAME = 16000, 576  # of MPEG-2, layer III
KBITS = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160]


def noise(samples, seed=0):
    return np.random.default_rng(seed).uniform(-0.4, 0.4, samples)


def encoded(folder, samples, name="first.mp3", **options):
    """The bytes of a file that libsndfile writes."""
    soundfile.write(folder / name, samples, RATE, **options)
    return (folder / name).read_bytes()


def variable(folder, *levels):
    """An mp3 file of a variable rate: two seconds of noise at each level, and in front the frame with its length."""
    samples = np.concatenate([level * noise(2 * RATE, seed) for seed, level in enumerate(levels)])
    return encoded(folder, samples, bitrate_mode="VARIABLE", compression_level=0.5)


def stripped(content):
    """Without the frame that holds the length; and how many frames of sound there are."""
    assert content[13:17] == b"Xing"
    size = 72 * 1000 * KBITS[content[2] >> 4] // RATE + (content[2] >> 1 & 1)
    return content[size:], int.from_bytes(content[21:25], "big")


def put(folder, content, name="given.mp3"):
    (folder / name).write_bytes(content)
    return str(folder / name)


def whole(path, samples):
    """All samples of a file, which must be so many; any stretch is that of the whole."""
    assert audio_info(path).frames == samples
    found = decode(path, 0, samples)
    assert len(found) == samples
    for first in (1, samples // 3, samples // 2, samples - 700):
        np.testing.assert_allclose(decode(path, first, first + 600), found[first : first + 600], atol=1e-3)
    return found


@pytest.mark.parametrize("levels", [(1, 1e-4, 1e-4, 1e-4), (1e-4, 1e-4, 1, 1)], ids=["too few", "too many"])
def test_an_mp3_file_whose_length_libsndfile_guesses(tmp_path, levels):
    """ffmpeg's count: every frame. What is decoded is that of the file with its length, and the delay before it."""
    content = variable(tmp_path, *levels)
    bare, frames = stripped(content)
    path = put(tmp_path, bare)
    assert abs(soundfile.info(path).frames - frames * FRAME) > 10000
    found, expected = whole(path, frames * FRAME), soundfile.read(tmp_path / "first.mp3")[0]
    delay = FRAME + 529
    np.testing.assert_allclose(found[delay : delay + len(expected)][2000:-2000], expected[2000:-2000], atol=1e-3)
    assert len(read_audio(path, 8000, 1000, 100, expected=frames * FRAME // 2)) == 100


def test_mp3_files_joined(tmp_path):
    """ffmpeg's count: the first one's header is believed for the delay alone, the second's is a frame of silence."""
    content = variable(tmp_path, 1, 1e-4)
    bare, frames = stripped(content)
    found = whole(put(tmp_path, content + content), (2 * frames + 1) * FRAME - 1105)
    expected = soundfile.read(tmp_path / "first.mp3")[0]
    np.testing.assert_allclose(found[2000 : 2 * RATE], expected[2000 : 2 * RATE], atol=1e-3)
    again = found[(frames + 1) * FRAME :][: len(expected)]
    np.testing.assert_allclose(again[2000 : 2 * RATE], expected[2000 : 2 * RATE], atol=1e-3)
    assert np.abs(whole(put(tmp_path, bare + bare), 2 * frames * FRAME)[(frames + 4) * FRAME :][:RATE]).max() > 0.3


def test_tags_of_an_mp3_file_are_no_sound(tmp_path):
    bare, frames = stripped(variable(tmp_path, 1, 1e-4))
    id3 = b"ID3\x03\0\0\0\0\x02\x00" + bytes(200) + b"\xff\xf3\x88\xc4" + bytes(52)
    tagged = id3 + bare + b"APETAGEX" + bytes([208, 7, 0, 0, 32] + 19 * [0]) + b"TAG" + bytes(125)
    path = put(tmp_path, tagged + id3 + bare)
    whole(path, 2 * frames * FRAME)
    assert audio_info(path).note == ""


def test_a_whole_mp3_file_is_as_long_as_its_header_says(tmp_path):
    for number, mode in enumerate(("CONSTANT", "AVERAGE", "VARIABLE")):
        name = f"{number}.mp3"
        encoded(tmp_path, noise(30001), name, bitrate_mode=mode, compression_level=0.5)
        np.testing.assert_array_equal(whole(str(tmp_path / name), 30001), soundfile.read(tmp_path / name)[0])


def test_what_is_no_sound_between_the_frames_is_passed_by_and_named(tmp_path):
    bare, frames = stripped(variable(tmp_path, 1))
    path = put(tmp_path, bare + b"what is this" * 300 + bare)
    whole(path, 2 * frames * FRAME)
    assert audio_info(path).note.startswith("3600 bytes of it are no sound")


def test_an_mp3_file_that_is_cut_short_is_refused_at_once(tmp_path):
    content = variable(tmp_path, 1, 1e-4)
    with pytest.raises(UserError, match=r"given.mp3: cut short .* header promises"):
        audio_info(put(tmp_path, content[: len(content) // 2]))


def test_mp3_files_of_other_rates_joined_are_refused(tmp_path):
    bare, _ = stripped(variable(tmp_path, 1))
    soundfile.write(tmp_path / "other.mp3", noise(44100), 44100)
    with pytest.raises(UserError, match=r"given.mp3: consists of streams of other rates"):
        audio_info(put(tmp_path, bare + (tmp_path / "other.mp3").read_bytes()))


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_ogg_streams_one_after_another(tmp_path, subtype):
    contents = [
        encoded(tmp_path, noise(samples, seed), f"{seed}.ogg", subtype=subtype)
        for seed, samples in enumerate((80000, 30000, 50000))
    ]
    expected = np.concatenate([soundfile.read(tmp_path / f"{seed}.ogg", dtype="float32")[0] for seed in range(3)])
    np.testing.assert_array_equal(whole(put(tmp_path, b"".join(contents), "given.ogg"), 160000), expected)


def test_the_last_page_of_an_ogg_file_is_read_where_it_is(tmp_path):
    """libsndfile seeks some 100 samples too far there, in files whose last block is cut off."""
    encoded(tmp_path, noise(80000), "a.ogg", subtype="VORBIS")
    expected = soundfile.read(tmp_path / "a.ogg", dtype="float32")[0]
    for first in range(70000, 80000, 500):
        np.testing.assert_array_equal(decode(tmp_path / "a.ogg", first, 80000), expected[first:], err_msg=str(first))


def test_ogg_streams_that_do_not_go_together_are_refused(tmp_path):
    first = encoded(tmp_path, noise(8000), "a.ogg", subtype="VORBIS")
    second = encoded(tmp_path, np.stack([noise(8000)] * 2, 1), "b.ogg", subtype="VORBIS")
    with pytest.raises(UserError, match=r"given.ogg: consists of streams of other rates or channels"):
        audio_info(put(tmp_path, first + second, "given.ogg"), "mix")


def with_total(content, frames):
    """A FLAC file with this number in the 36 bits of STREAMINFO for its samples; 0 as encoders leave it in a pipe."""
    return content[:21] + ((content[21] & 0xF0) << 32 | frames).to_bytes(5, "big") + content[26:]


@pytest.mark.parametrize("frames", [0, 30000], ids=["unknown", "too few"])
def test_flac_file_whose_header_does_not_know_its_length(tmp_path, frames):
    content = with_total(encoded(tmp_path, noise(90000), "a.flac"), frames)
    found = whole(put(tmp_path, content, "given.flac"), 90000)
    np.testing.assert_array_equal(found, soundfile.read(tmp_path / "a.flac", dtype="float32")[0])


@pytest.mark.parametrize("second", [None, 0], ids=["known", "unknown"])
def test_joined_flac_files_are_read_whole(tmp_path, second):
    """libsndfile reads the first of them."""
    contents = [encoded(tmp_path, noise(40000, seed), f"{seed}.flac") for seed in range(3)]
    if second is not None:
        contents[1] = with_total(contents[1], second)
    expected = [soundfile.read(tmp_path / f"{seed}.flac", dtype="float32")[0] for seed in range(3)]
    found = whole(put(tmp_path, b"".join(contents), "given.flac"), 120000)
    np.testing.assert_array_equal(found, np.concatenate(expected))


def test_flac_file_whose_recording_was_ended(tmp_path):
    """Its length is unknown, and its last frame incomplete: what can be decoded is read, and a note says so."""
    content = with_total(encoded(tmp_path, noise(90000), "a.flac"), 0)[:-1000]
    path = put(tmp_path, content, "given.flac")
    info = audio_info(path)
    assert 80000 < info.frames < 90000
    assert info.note == "its end is missing, so that it is cut short"
    expected = soundfile.read(tmp_path / "a.flac", dtype="float32")[0][: info.frames]
    np.testing.assert_array_equal(whole(path, info.frames), expected)
    half = len(content) // 2
    with pytest.raises(UserError, match=r"given.flac: cannot be decoded"):
        audio_info(put(tmp_path, content[:half] + bytes(100) + content[half:], "given.flac"))


@pytest.mark.parametrize(("form", "where"), [("WAV", 40), ("AIFF", 42), ("AU", 8), ("CAF", 4088)])
def test_what_follows_the_sound_that_an_old_header_tells_of_is_said(tmp_path, form, where):
    """As of a recorder that was ended between two times that it put its header right."""
    content = encoded(tmp_path, noise(8000), "a.audio", format=form, subtype="PCM_16")
    assert audio_info(tmp_path / "a.audio").note == ""
    order = "little" if form == "WAV" else "big"
    size = int.from_bytes(content[where : where + 4], order) - 8000
    path = put(tmp_path, content[:where] + size.to_bytes(4, order) + content[where + 4 :], "given.audio")
    info = audio_info(path)
    assert info.frames == 4000
    assert info.note.startswith("more follows the sound that its header tells of, and is passed by")


@pytest.mark.parametrize("subtype", ["PCM_16", "ALAC_16"])
def test_what_follows_a_caf_file_is_said(tmp_path, subtype):
    first, second = (encoded(tmp_path, noise(n), "a.caf", subtype=subtype) for n in (9000, 5000))
    assert audio_info(put(tmp_path, first, "given.caf")).note == ""
    assert audio_info(put(tmp_path, first + bytes(20), "given.caf")).note == ""
    info = audio_info(put(tmp_path, first + second, "given.caf"))
    assert info.frames == 9000
    assert info.note.startswith("more follows the sound that its header tells of, and is passed by")


def test_ogg_pages_out_of_order_are_said(tmp_path):
    content = encoded(tmp_path, noise(80000), "a.ogg", subtype="OPUS")
    assert audio_info(tmp_path / "a.ogg").note == ""
    pages = [b"OggS" + page for page in content.split(b"OggS")[1:]]
    for changed in (
        [*pages[:4], *pages[3:]],
        [*pages[:3], pages[4], pages[3], *pages[5:]],
        [*pages, noise(9).tobytes()],
    ):
        note = audio_info(put(tmp_path, b"".join(changed), "given.ogg")).note
        assert note.startswith("its pages are not one after another"), note
    note = audio_info(put(tmp_path, content[:-1] + bytes([content[-1] ^ 1]), "given.ogg")).note
    assert note == "its last page is missing or damaged, so that it may be cut short"


WITHOUT_SEEKING = [
    *(("WAV", subtype) for subtype in ("GSM610", "G721_32", "NMS_ADPCM_16", "NMS_ADPCM_24", "NMS_ADPCM_32")),
    *(("AIFF", subtype) for subtype in ("GSM610", "DWVW_16", "DWVW_24")),
    *(("AU", subtype) for subtype in ("G721_32", "G723_24", "G723_40")),
    *(("XI", subtype) for subtype in ("DPCM_8", "DPCM_16")),
    ("W64", "GSM610"),
]


@pytest.mark.parametrize(("form", "subtype"), WITHOUT_SEEKING)
def test_what_libsndfile_cannot_seek_in_is_read_in_sequence(tmp_path, form, subtype):
    path = str(tmp_path / "a.audio")
    soundfile.write(path, noise(70001), 8000, subtype, format=form)
    with audio_stream.InSequence(path) as file:
        expected = file.read(file.frames, dtype="float32")
    with audio_file.AudioFile(path) as file:
        for first, stop in ((0, 30000), (20000, 50000), (69000, 70001), (500, 700), (700, 700), (100, 70001)):
            np.testing.assert_array_equal(file.read(first, stop)[:, 0], expected[first:stop], err_msg=str(first))
    np.testing.assert_array_equal(decode(path, 66000, 66100), expected[66000:66100])


def test_a_name_that_no_file_can_have_is_no_file():
    """Such as an index may state."""
    with pytest.raises(UserError, match=r"a\\x00.wav: no such file"):
        audio_info("a\0.wav")


def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    for place in (tmp_path, tmp_path / "pipe.wav"):
        with pytest.raises(UserError, match="a folder, pipe or device and no file"):
            audio_info(place)


@pytest.mark.parametrize("closed", ["a.wav", "."])
def test_what_may_not_be_read_is_a_line_that_says_so(tmp_path, closed):
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "a.wav"
    encoded(path.parent, noise(800), path.name)
    (path.parent / closed).chmod(0)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)  # root may read everything
        with pytest.raises(UserError, match=r"a.wav: cannot be read \(Permission denied\)"):
            audio_info(path)
    finally:
        os.seteuid(user)
        (path.parent / closed).chmod(0o700)


def test_a_file_without_a_byte_is_not_read(tmp_path):
    for path in (put(tmp_path, b""), "/proc/kmsg", "/proc/self/status"):  # the second is waited for
        if os.path.exists(path):
            with pytest.raises(UserError, match=f"{path}: empty, it has no bytes"):
                audio_info(path)
