"""ascend310_infer/build.sh: the C++ is clean, and links against the library of Ascend cards too."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cpp_program import SOURCES, build, last_line

CLASSIC = "mindspore-ascend==1.10.0"


@pytest.mark.slow
def test_clang_tidy_is_content(program):
    tool = shutil.which("clang-tidy", path=Path(sys.executable).parent) or shutil.which("clang-tidy")
    if tool is None:
        pytest.skip("needs clang-tidy, of requirements-test.txt")
    command = [tool, "-p", program, "--quiet", *sorted(SOURCES.glob("*.cc"))]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


@pytest.mark.slow
def test_it_compiles_and_links_against_the_classic_library(compiler, tmp_path_factory):
    home = classic_library(tmp_path_factory)
    folder = build(tmp_path_factory.mktemp("classic"), MS_LITE_HOME="", MINDSPORE_HOME=str(home))
    needed = subprocess.run(["readelf", "-d", folder / "main"], capture_output=True, text=True, check=True).stdout
    assert "[libmindspore.so]" in needed


def classic_library(tmp_path_factory):
    """The headers and the library of the Ascend package, kept beside MindSpore Lite."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "conv-tasnet"
    home = cache / CLASSIC.replace("==", "-")
    if not home.is_dir():
        folder = tmp_path_factory.mktemp("wheel")
        result = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
             "--python-version=3.7", "--platform=manylinux1_x86_64", f"--dest={folder}", CLASSIC],
            capture_output=True, text=True,
        )  # fmt: skip
        if result.returncode:
            pytest.skip(f"needs {CLASSIC}, which pip cannot fetch: {last_line(result.stderr)}")
        subprocess.run([sys.executable, "-m", "zipfile", "--extract", next(folder.glob("*.whl")), folder], check=True)
        cache.mkdir(parents=True, exist_ok=True)
        partial = folder / "part"
        shutil.copytree(folder / "mindspore/include", partial / "include")
        (partial / "lib").mkdir()
        shutil.copy(folder / "mindspore/lib/libmindspore.so", partial / "lib")
        shutil.move(partial, home)
        shutil.rmtree(folder)
    return home
