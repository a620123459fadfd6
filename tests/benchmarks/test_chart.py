"""benchmarks/chart.py: the bars of earlier results, and what is no result."""

import json

import pytest
from PIL import Image

import benchmark
from benchmarks.chart import read_bars
from common.command_line import parse
from common.errors import UserError


def result_line(engine, ours, peer, **network):
    rounds = {"ours": {"median": ours}, "peer": {"median": peer}}
    options = parse("", "benchmark", "data", "network", "device", "precision", argv=["--engine", engine])
    options = {name: getattr(options, name) for name in benchmark.RECORDED_OPTIONS} | network
    row = {"seconds": 4.0, "parties": rounds, "ratio": {"of_medians": peer / ours}}
    return json.dumps({"what": "forward", "options": options, "rows": [row]}) + "\n"


def test_chart(tmp_path):
    results, chart = tmp_path / "results.jsonl", tmp_path / "chart.png"
    without_peer = {"what": "data", "options": json.loads(result_line("eager", 1, 1))["options"], "formats": []}
    lines = [result_line("eager", 0.5, 0.6), json.dumps(without_peer) + "\n", result_line("compile", 0.5, 0.4, L=16)]
    results.write_text("".join(lines))
    assert read_bars(results) == [
        ("forward\n2 x 4 s\neager", 0.5, 0.6, pytest.approx(1.2)),
        ("forward\n2 x 4 s\ncompile\nL 16", 0.5, 0.4, pytest.approx(0.8)),
    ]
    benchmark.main(["--chart", str(chart), "--results", str(results)])
    with Image.open(chart) as image:
        assert image.format == "PNG" and 800 <= image.width <= 2000 and 500 <= image.height <= 1000
        colours = [colour for _, colour in image.convert("RGB").getcolors(1 << 20)]
        assert (0x1B, 0x6C, 0xA8) in colours and (0xC9, 0xCE, 0xD6) in colours
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chart.png", "results.jsonl"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "nothing in it was timed with a peer"),
        ('{"what": 1}\n', "line 1 is not a result"),
        (result_line("eager", 1, 2) + "{half", "line 2 is not a result"),
        (result_line("eager", 1, 2) + "[]\n", "line 2 is not a result"),
    ],
)
def test_chart_of_bad_results_is_one_line(tmp_path, text, message):
    results, chart = tmp_path / "results.jsonl", tmp_path / "chart.png"
    results.write_text(text)
    with pytest.raises(UserError, match=message) as error:
        benchmark.main(["--chart", str(chart), "--results", str(results)])
    assert str(results) in str(error.value) and "\n" not in str(error.value)
    assert not chart.exists()
