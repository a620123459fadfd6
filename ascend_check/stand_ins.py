"""Stand-ins for the libraries of CANN, on which MindSpore's Ascend plugin loads and compiles on a machine without them.

    python -m ascend_check.stand_ins FOLDER

MindSpore's x86-64 wheel brings the plugin. It leaves some hundred functions to CANN's libraries. One library here has
them all, found in the wheel itself: those that it leaves undefined, and those whose names it carries, to load them
later. They do nothing: a graph is compiled and its kernels are chosen, and nothing can be run. The others are empty
and depend on that one. FOLDER gets `Ascend/cann/lib64`, a path that the plugin knows CANN by. Needs gcc, nm and
readelf, as compilers bring them.
"""

import re
import subprocess
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from common.errors import UserError, run

CARD = "Ascend910B2"
LIBRARIES = "Ascend/cann/lib64"

# Those parts of the wheel that compile graphs for Ascend and call CANN. The rest of the plugin is for other work.
CALLERS = re.compile(r"/plugin/.*ascend|ge_backend")
OTHER_WORK = re.compile(r"dvpp|cpu_kernels|akg|libcust|so_kernels|/lib/plugin/[cg]pu")
# Names that a caller looks up as it runs stand in it as texts.
LOOKED_UP = re.compile(rb"\0((?:acl|Acl|Nnopbase|Hccl|Hcom)[A-Za-z0-9]{3,80})(?=\0)")
OF_THE_SYSTEM = re.compile(r"lib(?:c|m|dl|pthread|rt|gcc_s|stdc\+\+|gomp|z|util|python.*)\.so|ld-linux")
OF_THE_RUNTIME = re.compile(r"_?Py|__cxa|__gmon|_ITM|_ZTVN10__cxxabi")

BOUNDED = Path(__file__).with_name("bounded.c")  # these work
# What others return, in place of 0: what they would make (ACL), or themselves, or the only object of a class (C++).
MAKES = re.compile(r"acl\w*Create|aclGetDataBufferAddr|acltdtCreate")
IS_THE_ONLY_ONE = re.compile(r"(?:8Instance|10GeInstance|11GetInstance)Ev\Z")
CONSTRUCTS = re.compile(r"C[12]E")
RETURNS_AN_OBJECT = re.compile(
    r"CreateOperator|GetTensorDescEv|8GetShapeEv|7GetDimsEv|7GetNameEv|9GetOpTypeEv|GetInputDesc|GetOutputDesc"
)


def make_stand_ins(folder: Path) -> None:
    """Make the libraries in a folder. Raises UserError where the wheel has no plugin or a tool is missing."""
    site = wheel_folder()
    functions, libraries = what_is_missing(site)
    here = folder / LIBRARIES
    here.mkdir(parents=True, exist_ok=True)
    bounded = BOUNDED.read_text()
    others = [name for name in functions if f" {name}(" not in bounded]
    code = "\n".join(stand_in(number, name) for number, name in enumerate(others))
    compile_library(here / "libascendcl.so", f"{bounded}\n{code}\n")
    for name in libraries - {"libascendcl.so"}:
        compile_library(here / name, "", f"-L{here}", "-lascendcl", "-Wl,-rpath,$ORIGIN")


def environment(folder: Path) -> dict[str, str]:
    """What a process needs in its environment to load the stand-ins of a folder, and to compile only."""
    package = wheel_folder() / "mindspore"
    plugin = package / "lib/plugin/ascend"
    inner = sorted(path for path in plugin.glob("ms_kernels_*/**/lib") if path.is_dir())
    paths = [folder / LIBRARIES, package / "lib", package / "lib/plugin", plugin, *inner]
    return {"MS_SIMULATION_LEVEL": "1", "LD_LIBRARY_PATH": ":".join(map(str, paths))}


def wheel_folder() -> Path:
    """The folder that holds the package mindspore. Raises UserError if that has no Ascend plugin."""
    (package,) = find_spec("mindspore").submodule_search_locations
    if not list(Path(package).glob("lib/plugin/libmindspore_ascend.so*")):
        raise UserError(f"{package}: has no Ascend plugin; install MindSpore's wheel for x86-64 Linux")
    return Path(package).parent


def what_is_missing(site: Path) -> tuple[list[str], set[str]]:
    """The functions that the plugin leaves to CANN, and the libraries that it wants."""
    own = [path for path in [*site.glob("mindspore/**/*.so*"), *site.glob("mindspore.libs/*")] if path.is_file()]
    own = [path for path in own if "gpu" not in path.as_posix()]
    names = (
        "libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1 libgcc_s.so.1 libstdc++.so.6 ld-linux-x86-64.so.2"
    )
    found = [output_of("gcc", f"-print-file-name={name}").strip() for name in names.split()]
    system = [Path(path) for path in found if path.startswith("/")]
    defined = {name for path in own + system for name in symbols(path, "--defined-only")}
    callers = [path for path in own if CALLERS.search(str(path)) and not OTHER_WORK.search(str(path))]
    wanted = {name for path in callers for name in symbols(path, "--undefined-only")}
    wanted |= {name for path in callers for name in looked_up(path)}
    needed = {
        name
        for path in callers
        for name in re.findall(r"\(NEEDED\).*\[(.*)\]", output_of("readelf", "--dynamic", str(path)))
        if not OF_THE_SYSTEM.match(name)
    }
    opened = {"libgraph.so", "libhccl.so", "libacl_op_compiler.so", "libopapi.so"}  # by their names, as it runs
    functions = sorted(name for name in wanted - defined if not OF_THE_RUNTIME.match(name))
    return functions, (needed | opened) - {path.name for path in own}


def symbols(library: Path, which: str) -> Iterable[str]:
    """The names that a library defines, or leaves undefined and cannot do without."""
    for line in output_of("nm", "--dynamic", which, str(library)).splitlines():
        *_, kind, name = line.split()
        if kind not in ("w", "v") or which == "--defined-only":
            yield name.split("@")[0]


def looked_up(library: Path) -> Iterable[str]:
    """The names of CANN's functions among the texts in a library."""
    return (name.decode() for name in set(LOOKED_UP.findall(library.read_bytes())))


def stand_in(number: int, name: str) -> str:
    """C for a function, or for data, of this name."""
    if name == "aclrtGetSocName":
        return f'const char *aclrtGetSocName(void) {{ return "{CARD}"; }}'
    if name.startswith(("_ZTV", "_ZTI", "_ZTS")):  # tables of C++ classes
        return f'long data{number}[64] __asm__("{name}");'
    head = f'void *call{number}(long *object) __asm__("{name}");\nvoid *call{number}(long *object)'
    if MAKES.match(name):
        return f"{head} {{ static long made[32]; return made; }}"
    if IS_THE_ONLY_ONE.search(name):  # with a map in it that is empty at first: its header points to itself
        return f"{head} {{ static long only[4096]; if (!only[3]) only[3] = only[4] = (long)&only[1]; return only; }}"
    size = 24 if RETURNS_AN_OBJECT.search(name) or "OperatorC" in name else 16
    if RETURNS_AN_OBJECT.search(name) or CONSTRUCTS.search(name):
        return f"{head} {{ memset(object, 0, {size}); return object; }}"
    return f"{head} {{ return 0; }}"


def compile_library(path: Path, source: str, *options: str) -> None:
    """Compile C into a shared library."""
    command = ["gcc", "-w", "-shared", "-fPIC", "-o", path, "-x", "c", "-", f"-Wl,-soname,{path.name}"]
    said = subprocess.run([*command, "-Wl,--no-as-needed", *options], input=source, capture_output=True, text=True)
    if said.returncode:
        raise UserError(f"{path}: gcc cannot make it ({said.stderr.strip()})")


def output_of(*command: str) -> str:
    """What a command prints. Raises UserError if it is not there."""
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout
    except FileNotFoundError:
        raise UserError(f"{command[0]}: is not installed; install gcc and binutils") from None


def main() -> None:
    if len(sys.argv) != 2:
        raise UserError(f"{len(sys.argv) - 1} arguments: give one, the folder for the stand-ins")
    make_stand_ins(Path(sys.argv[1]))


if __name__ == "__main__":
    run(main)
