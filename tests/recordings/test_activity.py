"""recordings/activity.py: who speaks when, held to voices whose times are known; and what is written of it."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from conftest import ROOT
from small_recordings import tones, write, written

import separate as script
from common.errors import UserError
from recordings.activity import HOPS_AT_ONCE, Segment, activity, gather_powers, speech_segments

RATE = 8000
HOP = 0.01


def voices(times, seconds, levels=(0.1, 0.1), sample_rate=RATE):
    """Noise [C, T] in the seconds from `start` to `end` of each voice."""
    random = np.random.default_rng(0)
    signals = np.zeros((len(times), round(seconds * sample_rate)), np.float32)
    for signal, stretches, level in zip(signals, times, levels, strict=True):
        for start, end in stretches:
            speech = signal[round(start * sample_rate) : round(end * sample_rate)]
            speech[:] = level * random.normal(size=len(speech))
    return signals


def found(estimates, mixture=None, sample_rate=RATE):
    """The stretches of each estimate, rounded to tenths of a second."""
    signals = np.vstack([estimates.sum(axis=0) if mixture is None else mixture, estimates])
    length = signals.shape[1]
    segments = speech_segments(lambda start, count: signals[:, start : start + count], length, sample_rate)
    assert segments == sorted(segments)
    times = [[] for _ in estimates]
    for each in segments:
        times[each.speaker - 1].append((round(each.start, 1), round(each.end, 1)))
    return times


@pytest.mark.parametrize("sample_rate", [8000, 11025, 16000])
@pytest.mark.parametrize("level", [1, 1e-3])
def test_times_are_those_of_the_voices(sample_rate, level):
    times = [[(0.5, 2), (4, 25.5)], [(1, 3), (27, 30)]]  # some of them longer than what is read at once
    assert 2 * HOPS_AT_ONCE * HOP < 25
    assert found(level * voices(times, 30, sample_rate=sample_rate), sample_rate=sample_rate) == times


def test_three_voices():
    times = [[(0.5, 2)], [(1, 3)], [(4, 5), (6, 7)]]
    assert found(voices(times, 8, levels=(0.1, 0.05, 0.2))) == times


def test_what_is_left_in_of_another_voice_is_no_speech():
    times = [[(0, 3), (6, 8)], [(4, 7)]]
    sources = voices(times, 9)
    leaky = sources + 10 ** (-14 / 20) * sources[::-1]
    assert found(leaky, sources.sum(axis=0)) == times


def test_a_voice_that_never_speaks_has_no_segments():
    sources = voices([[(0, 3)], []], 4)
    assert found(sources) == [[(0, 3)], []]
    sources[1] = 10 ** (-35 / 20) * np.roll(sources[0], RATE)  # beside no pause, and loud beside itself
    assert found(sources) == [[(0, 3)], []]


def test_a_quiet_voice_is_heard():
    times = [[(0, 3)], [(4, 7)]]
    assert found(voices(times, 9, levels=(0.1, 0.1 * 10 ** (-15 / 20)))) == times


def test_short_pauses_belong_to_speech_and_clicks_do_not():
    times = [[(0.5, 2), (2.15, 3), (4, 4.02)], [(0, 1), (1.6, 3)]]
    assert found(voices(times, 5)) == [[(0.5, 3)], [(0, 1), (1.6, 3)]]


@pytest.mark.parametrize("samples", [1, 79, 80, 81, 400])
@pytest.mark.parametrize("level", [0, 1e-30, 0.1])
def test_hardly_any_samples(samples, level):
    signals = level * np.ones((3, samples), np.float32)
    powers = gather_powers(lambda start, count: signals[:, start : start + count], samples, RATE)
    assert powers.shape == (3, -(-samples // 80))
    assert activity(powers, HOP).shape == (2, powers.shape[1])


def rows(path):
    """The fields of the lines of an RTTM file."""
    return [line.split(" ") for line in path.read_text(encoding="utf-8").splitlines()]


TIMES = [[(0.5, 2), (4, 6)], [(3, 5)]]


@pytest.fixture
def in_turns():
    """Two tones that BandNet separates, in turns: [T] at 8 kHz."""
    return (tones(7 * RATE, RATE) * (voices(TIMES, 7) != 0)).sum(axis=0)


def test_files_say_who_speaks_when(tmp_path, band_main, in_turns, capsys):
    path = write(tmp_path / "a meeting.wav", in_turns)
    band_main(path, "--segments")
    assert written(tmp_path) == ["a meeting.json", "a meeting.rttm", "a meeting_s1.wav", "a meeting_s2.wav"]
    assert "a meeting.rttm" in capsys.readouterr().out
    told = json.loads((tmp_path / "out" / "a meeting.json").read_text(encoding="utf-8"))
    assert (told["recording"], told["seconds"]) == (path, 7)
    segments = [Segment(each["start"], each["end"], int(each["speaker"][1:])) for each in told["segments"]]
    assert [(round(each.start, 1), round(each.end, 1), each.speaker) for each in segments] == [
        (0.5, 2, 1), (3, 5, 2), (4, 6, 1)
    ]  # fmt: skip
    for row, each in zip(rows(tmp_path / "out" / "a meeting.rttm"), segments, strict=True):
        assert row == ["SPEAKER", "a_meeting", "1", f"{each.start:.3f}", f"{each.end - each.start:.3f}",
                       "<NA>", "<NA>", f"s{each.speaker}", "<NA>", "<NA>"]  # fmt: skip


def test_a_library_of_others_reads_them(tmp_path, band_main, in_turns):
    simpleder = pytest.importorskip("simpleder")
    band_main(write(tmp_path / "meeting.wav", in_turns), "--segments")
    (recording,) = simpleder.load_rttm(str(tmp_path / "out" / "meeting.rttm")).values()
    true = [(f"voice {number}", *each) for number, stretches in enumerate(TIMES) for each in stretches]
    assert simpleder.DER(true, recording) < 0.03


def test_they_are_replaced_and_skipped_like_estimates(tmp_path, band_main, in_turns, capsys):
    path = write(tmp_path / "x.wav", in_turns)
    band_main(path)
    with pytest.raises(UserError, match=r"x_s1\.wav: is there already"):
        band_main(path, "--segments")
    band_main(path, "--segments", "--skip_existing")
    assert written(tmp_path) == ["x.json", "x.rttm", "x_s1.wav", "x_s2.wav"]
    capsys.readouterr()
    band_main(path, "--segments", "--skip_existing")
    assert "1 recording: left out" in capsys.readouterr().out


def test_standard_input(tmp_path, in_turns):
    given = io.BytesIO()
    soundfile.write(given, in_turns, RATE, format="WAV", subtype="FLOAT")
    command = [sys.executable, ROOT / "separate.py", "--device_target", "CPU", "-", "--segments", "--out_dir", tmp_path]
    done = subprocess.run(command, input=given.getvalue(), capture_output=True)
    assert done.returncode == 0, done.stderr
    assert len(soundfile.read(io.BytesIO(done.stdout))[0]) == len(in_turns)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["standard_input.json", "standard_input.rttm"]
    assert {row[1] for row in rows(tmp_path / "standard_input.rttm")} == {"standard_input"}


@pytest.mark.parametrize(
    "options", [["-", "--segments"], ["-", "--segments", "--streaming"], ["-", "--out_dir", "x"]], ids=" ".join
)
def test_what_makes_no_sense_is_refused(options):
    with pytest.raises(UserError, match=r"--segments|--out_dir"):
        script.main(options)
