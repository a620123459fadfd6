"""scripts/quickstart.sh: its steps, a second run of it, and where it stops."""

import re

import pytest


def test_steps_and_last_line(checkout):
    result = checkout.run("quickstart.sh")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[-1] == "Average SISNR improvement: 7.50"
    assert lines[-2].endswith(f"{checkout.root}/quickstart/run-1/results/report.html")
    assert lines[-3].endswith(f"{checkout.root}/quickstart/run-1/separated")
    steps = [call for call in checkout.calls() if "quickstart/" in call]
    scripts = ["scripts.make_corpus", "preprocess.py", "separate.py", "train.py", "evaluate.py", "separate.py"]
    scripts.append("export.py")
    assert len(steps) == len(scripts)
    for script, step in zip(scripts, steps, strict=True):
        assert script in step
        assert any(line.endswith(f"$ .venv/bin/python {step}") for line in lines)
    for step in (steps[2], steps[5]):
        assert re.search(r"mix_clean/a\.wav \S+mix_clean/b\.wav$", step)
    assert "--model_path" not in steps[2]
    shown = lines[lines.index(next(line for line in lines if line.startswith("To hear now"))) + 1 :][:4]
    assert [line.split("/")[-1] for line in shown] == ["a.wav", "b.wav", "a_s1.wav", "b_s1.wav"]


def test_second_run_trains_anew(checkout):
    checkout.run("quickstart.sh")
    first = [call for call in checkout.calls() if call.startswith("train.py")]
    result = checkout.run("quickstart.sh")
    assert result.returncode == 0, result.stderr
    second = [call for call in checkout.calls() if call.startswith("train.py")]
    assert second == [first[0].replace("run-1", "run-2")]
    assert not checkout.installs()
    assert (checkout.root / "quickstart/run-1/evaluate.log").exists()


@pytest.mark.parametrize("step", ["scripts.make_corpus", "train.py", "evaluate.py", "export.py"])
def test_stops_where_a_step_fails(checkout, step):
    result = checkout.run("quickstart.sh", FAIL=step)
    assert result.returncode == 3
    assert step in checkout.calls()[-1]
    assert result.stderr.endswith(f"failed at {step}\n")
    assert "Done" not in result.stdout
