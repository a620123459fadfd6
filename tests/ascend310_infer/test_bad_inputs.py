"""ascend310_infer/: the C++ program takes no bad input for a good one, nor reads beyond it.

On the CPU, by MindSpore Lite 2.0.0. Nothing here ran on an Ascend card.
"""

import os
import re
import subprocess

import mindspore as ms
import numpy as np
import pytest
import soundfile
from cpp_program import LENGTH, arguments, assert_equal, run_main


def bad_inputs(folder):
    """Files that cannot be separated, by what the program has to say of each."""
    folder.mkdir()
    noise = np.random.default_rng(0).uniform(-1, 1, LENGTH).astype(np.float32)
    messages = {}

    def put(name, message, content):
        messages[name] = message
        path = folder / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            samples, sample_rate, subtype = content
            soundfile.write(path, samples, sample_rate, subtype=subtype, format="WAV")

    put("short.bin", f"{LENGTH - 1} samples, but the model takes 1 x {LENGTH}", noise[:-1].tobytes())
    put("long.bin", f"{LENGTH + 1} samples, but", np.append(noise, 0).astype(np.float32).tobytes())
    put("odd.bin", "not one or more float32 numbers", noise.tobytes()[:-1])
    put("empty.bin", "not one or more float32 numbers", b"")
    put("nan.bin", "NaN", np.where(noise > 0.9, np.nan, noise).astype(np.float32).tobytes())
    put("long.wav", "would overwrite", (noise, 8000, "FLOAT"))
    put("size.wav", "1606 samples, but", (np.tile(noise, 2), 8000, "PCM_16"))
    put("rate.wav", "16000 Hz, but the model is for 8000", (noise, 16000, "PCM_16"))
    put("stereo.wav", "2 channels", (np.stack([noise, noise], 1), 8000, "PCM_16"))
    put("eight.wav", "convert it to 16", (noise, 8000, "PCM_U8"))
    put("inf.wav", "NaN or infinite", (np.full(LENGTH, np.inf, np.float32), 8000, "FLOAT"))
    put("text.wav", "not a RIFF wav file", b"hello")
    put("headless.wav", "no samples", b"RIFF\x00\x00\x00\x00WAVE")
    put("whole.wav", "", (noise, 8000, "PCM_16"))
    whole = (folder / "whole.wav").read_bytes()
    del messages["whole.wav"]
    put("cut.wav", "cut short", whole[:-100])
    (folder / "folder.bin").mkdir()
    messages["folder.bin"] = "cannot be read (Is a directory)"
    noise.tofile(folder / "good.bin")
    return messages


def check_bad_inputs(program, model, folder, **options):
    """All bad files are named with what is wrong, one line each; the good ones are separated all the same."""
    messages = bad_inputs(folder / "in")
    result = run_main(program, *arguments(model, folder / "in", folder / "out"), **options)
    assert result.returncode == 2
    lines = result.stderr.splitlines()
    assert len(lines) == len(messages) + 1
    for name, message in messages.items():
        (line,) = [line for line in lines if line.startswith(f"error: {folder}/in/{name}: ")]
        assert message in line
    total = len(messages) + 2
    assert lines[-1] == f"error: {len(messages)} of {total} files were not separated, for the reasons above"
    written = sorted(path.name for path in (folder / "out").iterdir())
    assert written == ["good_0.bin", "whole_0.bin", "whole_s1.wav", "whole_s2.wav"]
    assert "\n2 files: mean " in result.stdout


def test_bad_files_are_named_and_counted_and_others_done(program, exported, tmp_path):
    check_bad_inputs(program, exported("gLN")[0], tmp_path)


@pytest.mark.slow
def test_sanitizers_find_nothing(sanitized, program, exported, tmp_path):
    model, net = exported("gLN")
    # Lite's own libraries leave memory behind when they end; the readers are tried for that too, by fuzz_samples.
    environment = os.environ | {"ASAN_OPTIONS": "detect_leaks=0"}
    check_bad_inputs(sanitized, model, tmp_path, env=environment)
    expected = net(ms.Tensor(np.fromfile(tmp_path / "in/good.bin", np.float32)[np.newaxis])).asnumpy()
    assert_equal(np.fromfile(tmp_path / "out/good_0.bin", np.float32).reshape(expected.shape), expected)


@pytest.mark.slow
def test_fuzzed_files_are_read_or_refused(sanitized):
    result = subprocess.run([sanitized / "fuzz_samples", "5", "1"], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    inputs, wavs, bins = map(int, re.findall(r"\d+", result.stdout))
    assert inputs > 2000 and min(wavs, bins) > 100
