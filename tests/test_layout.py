"""Where things are: the root, the packages and their lists, who imports whom, how long files are, hints, tests."""

import ast
import subprocess
from functools import cache
from itertools import takewhile
from pathlib import Path

import pytest
from conftest import ROOT

COMMANDS = ["preprocess", "train", "evaluate", "separate", "export", "convert", "benchmark", "demo"]
ROOT_MODULES = [*COMMANDS, "data", "model", "loss", "network_define", "config", "device"]
ROOT_FILES = ["README.md", "README_CN.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "requirements.txt"]
ROOT_FILES += ["pyproject.toml"]
PACKAGES = ["network", "corpus", "training", "evaluation", "recordings", "benchmarks", "common", "ascend310_infer"]
PACKAGES += ["ascend_check", "page"]
INNER_PACKAGES = ["checkpoints.gpu_training"]
FOLDERS = [*PACKAGES, "scripts", "checkpoints", "configs", "tests", "docs", "requirements"]
# Tests of a behaviour that many modules have a part in; every other test file is named after the module that it tests.
BEHAVIOURS = {
    ".": ["docs", "layout", "shipped_weights"],
    "ascend310_infer": ["bad_inputs", "program", "run_infer_310"],
    "recordings": ["conversation"],
    "scripts": ["checks"],
}
LONGEST = 300
CALLED_BY_MINDSPORE = ("construct", "bprop")  # of a cell


@cache
def files():
    """The files that git tracks, relative to the root."""
    try:
        listed = subprocess.run(
            ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs git, and a checkout made with it")
    return [Path(file) for file in listed if (ROOT / file).exists()]


@cache
def modules():
    """The syntax tree of each module that is no test, by its dotted name; a package's own is that of its __init__."""
    found = {}
    for file in files():
        if file.suffix == ".py" and file.parts[0] != "tests":
            name = ".".join(file.with_suffix("").parts).removesuffix(".__init__")
            found[name] = ast.parse((ROOT / file).read_text(encoding="utf-8"), str(file))
    return found


def imports(tree):
    """The dotted names that a tree imports, anywhere in it: all names that may be modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"a relative import of {node.module}"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_of(name):
    """The module of ours that an imported name is, or is in; None for everything else."""
    while name and name not in modules():
        name = name.rpartition(".")[0]
    return name or None


@cache
def imported():
    """The modules of ours that each module of ours imports."""
    found = {}
    for name, tree in modules().items():
        found[name] = {module_of(each) for each in imports(tree)} - {None}
    return found


def cycle(graph):
    """A closed path of a graph {node: nodes}, or None."""
    done, path = set(), []

    def visit(node):
        if node in path:
            return [*path[path.index(node) :], node]
        if node not in done:
            path.append(node)
            for after in sorted(graph[node]):
                if found := visit(after):
                    return found
            done.add(path.pop())
        return None

    return next(filter(None, map(visit, sorted(graph))), None)


def test_the_root_holds_what_one_looks_for_there():
    root = {file.parts[0] for file in files()}
    assert sorted(file[:-3] for file in root if file.endswith(".py")) == sorted(ROOT_MODULES)
    others = [file for file in root if not file.startswith(".") and not file.endswith(".py")]
    assert sorted(others) == sorted(ROOT_FILES + FOLDERS)


@pytest.mark.parametrize("package", [*PACKAGES, *INNER_PACKAGES])
def test_a_package_says_what_is_in_it(package):
    (docstring,) = modules()[package].body
    assert isinstance(docstring, ast.Expr), f"{package}/__init__.py does something"
    first, nothing, *lines = docstring.value.value.split("\n")
    assert first and not nothing
    listed = [line.split("  ")[0] for line in takewhile(bool, lines)]
    assert listed == sorted(name.removeprefix(f"{package}.") for name in modules() if name.startswith(f"{package}."))


def test_modules_import_in_one_direction():
    assert cycle(imported()) is None


def test_packages_import_in_one_direction():
    wing = {name: name.partition(".")[0] for name in modules()}
    graph = {each: set() for each in wing.values()}
    for name, others in imported().items():
        graph[wing[name]] |= {wing[other] for other in others} - {wing[name]}
    assert cycle(graph) is None


def test_pytorch_is_an_extra():
    """Nothing needs it to be imported but the program that trains with it, and not all of that."""
    needing = {
        name
        for name, tree in modules().items()
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        if any(each.partition(".")[0] in ("torch", "triton") for each in imports(ast.Module([node], [])))
    }
    assert needing and all(name.startswith("checkpoints.gpu_training.") for name in needing)
    assert not {f"checkpoints.gpu_training.{name}" for name in ("noises", "options", "pack")} & needing


def test_cycles_are_found():
    assert cycle({"a": {"b"}, "b": {"c"}, "c": set(), "d": {"b", "c"}}) is None
    assert cycle({"a": {"b"}, "b": {"c", "d"}, "c": set(), "d": {"b"}}) == ["b", "d", "b"]


@pytest.mark.parametrize("package", [*PACKAGES, "scripts", "checkpoints"])
def test_no_package_imports_a_command(package):
    for name, others in imported().items():
        if name.partition(".")[0] == package:
            assert not others & set(COMMANDS), name


@pytest.mark.parametrize("module", ["evaluation.metrics", "common.parallel"])
def test_processes_that_measure_do_not_load_mindspore(module):
    loaded, rest = set(), [module]
    while rest:
        name = rest.pop()
        assert not any(each.partition(".")[0] == "mindspore" for each in imports(modules()[name])), name
        loaded.add(name)
        rest += imported()[name] - loaded


def test_no_file_is_long():
    sources = [file for file in files() if file.suffix in (".py", ".sh", ".cpp", ".h") or file.parent == Path(".ci")]
    lines = {str(file): len((ROOT / file).read_text(encoding="utf-8").splitlines()) for file in sources}
    assert {file: count for file, count in lines.items() if count > LONGEST} == {}


def test_tests_find_what_is_in_every_folder_of_theirs(pytestconfig):
    folders = {str(file.parent) for file in files() if file.parts[0] == "tests" and file.suffix == ".py"}
    listed = {str(path.relative_to(ROOT)) for path in pytestconfig.getini("pythonpath")}
    assert folders <= listed


def test_tests_are_where_their_modules_are():
    astray = []
    for file in files():
        if file.parts[0] == "tests" and file.name.startswith("test_"):
            wing = file.parent.relative_to("tests")
            name = file.stem.removeprefix("test_")
            # A module's tests may be several files: test_model.py, test_model_streams.py.
            # A package in a wing has its tests together.
            stems = {each.stem for each in files() if each.parent == wing}
            stems |= {each.parent.name for each in files() if each.parent.parent == wing}
            begins = any(name == stem or name.startswith(f"{stem}_") for stem in stems)
            if not begins and name not in BEHAVIOURS.get(str(wing), []):
                astray.append(str(file))
    assert not astray


def is_public(name):
    return name == "__init__" or (not name.startswith("_") and name not in CALLED_BY_MINDSPORE)


def without_hints(tree):
    """The public functions of a module, and methods and constructors of its classes, that lack a hint."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from (f"{node.name}.{name}" for name in without_hints(node))
        elif isinstance(node, ast.FunctionDef) and is_public(node.name):
            taken = node.args
            arguments = [*taken.posonlyargs, *taken.args, *taken.kwonlyargs, taken.vararg, taken.kwarg]
            hints = [each.annotation for each in arguments if each and each.arg not in ("self", "cls")]
            if None in hints or (node.returns is None and node.name != "__init__"):
                yield node.name


def test_public_functions_have_hints():
    lacking = {name: list(without_hints(tree)) for name, tree in modules().items()}
    assert {name: functions for name, functions in lacking.items() if functions} == {}
