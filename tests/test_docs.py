"""The documentation: what it links to and names exists, its commands have the options that they use, and the front
page says the same in both languages."""

import ast
import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest

from config import GROUPS

ROOT = Path(__file__).resolve().parent.parent
ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README_CN.md"
LONGEST_FRONT_PAGE = 250  # lines
PAGES = sorted(page for pattern in ("*.md", "docs/*.md", "checkpoints/*.md") for page in ROOT.glob(pattern))
FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir()} | {"requirements", ".github"}
# A word with one of these endings, or one that begins with a folder of the checkout, is the name of one of its files.
ENDINGS = (".py", ".sh", ".cc", ".h", ".md", ".toml", ".txt", ".yaml", ".yml", ".html")
# But these are not: they are in several folders, or commands make them, or they are the user's.
OTHER_NAMES = ("__init__.py", "bad_files.txt", "config.yaml", "report.html", "results/report.html")
OTHER_FOLDERS = (
    *("ascend310_infer/build/", "distribute/", "infer_310/", "quickstart/", ".venv/"),
    *("/", "~", "exp/", "index/", "calls/", "interviews/", "LibriMix/", "PEER.py"),
)
# Launching scripts hand their options on to these.
LAUNCHED = {
    "scripts/run_standalone_train.sh": "train.py",
    "scripts/run_distribute_train.sh": "train.py",
    "scripts/run_eval.sh": "evaluate.py",
}
# Modules of others that the commands run with python -m.
OTHERS_MODULES = ("pip", "pytest", "venv", "ruff", "pre_commit")
PACKAGES = {path.parent.name for path in ROOT.glob("*/__init__.py")}


def read(page):
    """The text of a page or program; of CHANGELOG.md without the names of what is gone, in its table's first column."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"^\|[^|]*\|", "|", text, flags=re.MULTILINE) if page.name == "CHANGELOG.md" else text


def split(text):
    """The lines outside code blocks, as one text, and the blocks: pairs of a language and a text."""
    parts = re.split(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(parts[::3]), list(zip(parts[1::3], parts[2::3], strict=True))


def headings(page):
    """Pairs of a heading's level and its text."""
    found = re.findall(r"^(#+) (.+)$", split(read(page))[0], flags=re.MULTILINE)
    return [(len(marks), title) for marks, title in found]


def anchors(page):
    """What GitHub calls the headings of a page in links to them."""
    known = {}
    for _, title in headings(page):
        title = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title)
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        known[slug] = known.get(slug, -1) + 1
        if known[slug]:
            known[f"{slug}-{known[slug]}"] = 0
    return set(known)


def links(page):
    """The targets of a page's links and pictures, without those to the web."""
    text = re.sub(r"`[^`\n]*`", "", split(read(page))[0])
    found = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"<(?:img|a)\s[^>]*(?:src|href)=\"([^\"]+)\"", text)
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def without_comments(block):
    """A bash or Python block without what differs from one language to the other."""
    return "\n".join(re.sub(r"\s*#.*$", "", line) for line in block.splitlines())


def commands(page):
    """The words of each command of a page's bash blocks, and of those in backticks that begin as commands do."""
    text, blocks = split(read(page))
    lines = []
    for language, block in blocks:
        if language == "bash":
            lines += without_comments(block).replace("\\\n", " ").splitlines()
    lines += re.findall(r"`((?:\w+=\S+ )*(?:python|bash|pip) [^`]+)`", text)
    for line in filter(str.strip, lines):
        words = shlex.split(line, posix=True)
        for separator in ("|", "&&", ";", "<", ">"):
            words = [word for word in words if word != separator]
        yield words


def program(words):
    """What a command runs: a path in the checkout, or None if it is a program of others."""
    for number, word in enumerate(words):
        if word == "-m" and number and words[number - 1].endswith("python"):
            module = words[number + 1]
            return None if module in OTHERS_MODULES else f"{module.replace('.', '/')}.py"
        if word.endswith((".py", ".sh")) and not word.startswith("-"):
            return word
        if word == "ascend310_infer/build/main":
            return "ascend310_infer/main.cc"
    return None


def options_of(path):
    """The options that one of our programs takes: {name: its entry in config.py}."""
    path = LAUNCHED.get(path, path)
    source = read(ROOT / path)
    if path.startswith("checkpoints/gpu_training/"):  # which has options of its own
        own = re.findall(r'add_argument\("--(\w+)"', source)
        if not own:
            shared = read((ROOT / path).with_name("options.py"))
            own = re.findall(r'add_argument\("--(\w+)"|^    (\w+): .* = _option\(', shared, flags=re.MULTILINE)
            own = [name for pair in own for name in pair if name]
        return {name: {} for name in ("help", *own)}
    if not path.endswith(".py"):
        return {name.replace("-", "_"): {} for name in re.findall(r"--([a-z][\w-]*)", source)}
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    parsed = [call for call in calls if getattr(call.func, "id", None) == "parse"]
    groups = [argument.value for call in parsed for argument in call.args if isinstance(argument, ast.Constant)]
    return {"help": {}} | {name: entry for group in groups for name, entry in GROUPS[group].items()}


def wrong_options(path, words):
    """The words of a command that are options which its program lacks, or values that they cannot have."""
    known, entry, wrong = options_of(path), {}, []
    for word in words:
        if option := re.fullmatch(r"--([a-zA-Z][\w-]*)", word):
            entry = known.get(option[1].replace("-", "_"))
            if entry is None:
                wrong.append(f"{path}: {word}")
        elif entry and "choices" in entry:
            if word not in map(str, entry["choices"]):
                wrong.append(f"{path}: {word}, not one of {entry['choices']}")
            if entry.get("nargs") != "+":
                entry = {}
    return wrong


def in_backticks(page):
    return re.findall(r"`([^`\n]+)`", split(read(page))[0])


def defined_in(file):
    """The names of a module's functions and classes; none where there is no such file."""
    return {getattr(item, "name", None) for item in ast.parse(read(file)).body} if file.exists() else set()


def is_of_others(module):
    """Whether a module is of a package that is installed; one that nobody has counts as the checkout's."""
    package = module.split(".")[0]
    ours = (ROOT / package).exists() or (ROOT / f"{package}.py").exists()
    return not ours and find_spec(package) is not None


def named_files(page):
    """Words that name files of the checkout: in backticks, in links' texts and in commands."""
    words = [word for code in in_backticks(page) for word in code.split()]
    words += re.findall(r"\[([\w./-]+)\]\(", split(read(page))[0])
    words += [word for command in commands(page) for word in command]
    for word in words:
        word = word.rstrip(",;:")
        ours = word.endswith(ENDINGS) or (word.split("/")[0] in FOLDERS and "/" in word)
        if (
            ours
            and re.fullmatch(r"[\w./-]+", word)
            and word not in OTHER_NAMES
            and not word.startswith((*OTHER_FOLDERS, "-"))
        ):
            yield word


def test_all_pages_are_looked_at():
    names = {str(page.relative_to(ROOT)) for page in PAGES}
    assert {"README.md", "README_CN.md", "CONTRIBUTING.md", "CHANGELOG.md", "checkpoints/README.md"} <= names
    assert len([name for name in names if name.startswith("docs/")]) >= 8


class TestFrontPage:
    @pytest.mark.parametrize("page", [ENGLISH, CHINESE], ids=lambda page: page.name)
    def test_is_short(self, page):
        assert len(read(page).splitlines()) <= LONGEST_FRONT_PAGE

    def test_headings_are_as_many_of_the_same_levels(self):
        assert [level for level, _ in headings(CHINESE)] == [level for level, _ in headings(ENGLISH)]

    def test_links_follow_one_another_alike(self):
        def targets(page):
            ours = [re.sub("#.*", "", target) for target in links(page)]
            return [target for target in ours if target and target not in (ENGLISH.name, CHINESE.name)]

        assert targets(CHINESE) == targets(ENGLISH)

    def test_commands_are_the_same(self):
        def blocks(page):
            return [
                (language, without_comments(block)) for language, block in split(read(page))[1] if language != "text"
            ]

        assert blocks(CHINESE) == blocks(ENGLISH)

    def test_drawings_have_the_same_lines_and_name_the_same_files(self):
        def drawings(page):
            texts = [block for language, block in split(read(page))[1] if language == "text"]
            return [[re.match(r"├── \S+|└── \S+|", line)[0] for line in text.splitlines()] for text in texts]

        assert drawings(CHINESE) == drawings(ENGLISH)

    def test_tables_have_the_same_figures(self):
        def figures(page):
            rows = [line for line in split(read(page))[0].splitlines() if line.startswith("|")]
            return [sorted(re.findall(r"\d+(?:\.\d+)?", re.sub(r"\([^)]*\)|`[^`]*`", "", row))) for row in rows]

        assert figures(CHINESE) == figures(ENGLISH)

    @pytest.mark.parametrize("page", [ENGLISH, CHINESE], ids=lambda page: page.name)
    def test_tree_names_what_is_there(self, page):
        (tree,) = (block for _, block in split(read(page))[1] if "├── " in block)
        named = re.findall(r"^[├└]── (\S+)", tree, flags=re.MULTILINE)
        assert [name for name in named if not (ROOT / name).exists()] == []
        scripts = {path.name for path in ROOT.glob("*.py")}
        packages = {f"{path.parent.name}/" for path in ROOT.glob("*/__init__.py")}
        assert (scripts | packages) - set(named) == set()

    @pytest.mark.parametrize("page", [ENGLISH, CHINESE], ids=lambda page: page.name)
    def test_letters_have_the_defaults_of_the_options(self, page):
        rows = re.findall(r"^\| ([A-Z]c?) \| .* \| (\d+) \|$", read(page), flags=re.MULTILINE)
        assert {letter: int(default) for letter, default in rows} == {
            name: entry["default"] for name, entry in GROUPS["network"].items() if name[0].isupper()
        }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
class TestPage:
    def test_links_lead_somewhere(self, page):
        broken = []
        for target in links(page):
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            if not file.exists() or (anchor and anchor not in anchors(file)):
                broken.append(target)
        assert broken == []

    def test_named_files_exist(self, page):
        folders = (ROOT, page.parent)
        assert [name for name in named_files(page) if not any((folder / name).exists() for folder in folders)] == []

    def test_named_modules_exist(self, page):
        missing = []
        for name in in_backticks(page):
            package, *rest = name.split(".")
            if package in PACKAGES and rest and re.fullmatch(r"[\w.]+", name):
                file = ROOT / package / f"{rest[0]}.py"
                if not file.exists() or not set(rest[1:]) <= defined_in(file):
                    missing.append(name)
        assert missing == []

    def test_commands_run_what_is_there_with_options_that_it_has(self, page):
        wrong = []
        for words in commands(page):
            path = program(words)
            if path and not (ROOT / path).exists():
                wrong += [] if path.startswith(OTHER_FOLDERS) else [f"{path}: no such program"]
            elif path:
                wrong += wrong_options(path, words)
        assert wrong == []

    def test_options_in_backticks_exist(self, page):
        known = {name for group in GROUPS.values() for name in group}
        for path in ("ascend310_infer/main.cc", "scripts/run_tests.sh"):
            known |= set(options_of(path))
        named = [match[1] for code in in_backticks(page) if (match := re.match(r"--([a-zA-Z][\w-]*)", code))]
        assert [name for name in named if name.replace("-", "_") not in known] == []

    def test_tests_that_are_named_exist(self, page):
        known = "\n".join(f"{path.relative_to(ROOT)}\n{read(path)}" for path in (ROOT / "tests").rglob("*.py"))
        for words in commands(page):
            if "-k" in words:
                assert words[words.index("-k") + 1] in known

    def test_python_imports_what_there_is(self, page):
        missing = []
        for language, block in split(read(page))[1]:
            for node in ast.walk(ast.parse(block if language == "python" else "")):
                if isinstance(node, ast.ImportFrom) and not is_of_others(node.module):
                    names = {alias.name for alias in node.names}
                    missing += sorted(names - defined_in(ROOT / f"{node.module.replace('.', '/')}.py"))
        assert missing == []


def test_training_page_has_every_option_of_training():
    named = set(in_backticks(ROOT / "docs" / "training.md"))
    assert set(options_of("train.py")) - set(GROUPS["network"]) - {"help"} - named == set()
