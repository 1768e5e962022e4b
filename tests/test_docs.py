"""The documentation: the tutorial runs as it stands, the commands on every page exist, and the site builds."""

import contextlib
import io
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from itertools import count, groupby
from pathlib import Path

import pytest
import typer
from PIL import Image

from traitswap import cli

from .photos import astronaut
from .test_cli import ok

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MINUTE = "--max-time 1m"
"""What the tutorial gives its training; here it gets so many images in place of it."""
MOMENT = (
    "--max-images {} --set data.drawn_count=80 --set classifier.images=256 --set train.health_pairs=4 "
    "--set train.statistics_images=64"
)


def blocks(page):
    """Language and text of each fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def commands(text):
    """The arguments of each traitswap command in lines of shell."""
    for line in text.replace("\\\n", "").splitlines():
        words = shlex.shlex(line, posix=True, punctuation_chars=True)
        words.whitespace_split = True
        for is_command, part in groupby(words, lambda word: not set(word) <= set("|&;<>")):
            name, *arguments = part
            if is_command and name == "traitswap":
                yield cli.spread(arguments)


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory):
    """The folder in which every block of the tutorial was run, in order, and what it printed."""
    folder = tmp_path_factory.mktemp("tutorial")
    names, images = {}, count(32, 32)
    said = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(said):
        for language, text in blocks(ROOT / "docs/tutorial.md"):
            assert language in ("bash", "python")
            if language == "python":
                exec(compile(text, "tutorial.md", "exec"), names)
            else:
                text = re.sub(MINUTE, lambda _: MOMENT.format(next(images)), text)
                for arguments in commands(text):
                    ok(arguments)
    return folder, said.getvalue()


def test_the_tutorial_does_what_it_says(tutorial):
    folder, said = tutorial
    assert "going on from 32 images" in said
    assert "64 images seen" in said
    assert re.search(r"untouched: \d+\.\d of 255 .*\ntransferred: \d+\.\d of 255", said)
    assert {path.name for path in folder.glob("*.png")} == {
        f"{name}.png" for name in ("photo", "reference", "result", "row", "half", "blond")
    }


@pytest.mark.parametrize("page", ["README.md", "docs/api.md", "docs/own-data.md", "docs/own-photos.md"])
def test_python_on_a_page_runs(page, tutorial, tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    for name in ("me.jpg", "her.jpg", "him.jpg", "photos/me.jpg"):
        Image.fromarray(astronaut()).save(tmp_path / name)
    for run in ("runs/first", "runs/celeba"):
        (tmp_path / run).parent.mkdir(exist_ok=True)
        (tmp_path / run).symlink_to(tutorial[0] / "runs/first")
    (tmp_path / "WEIGHTS").symlink_to(tutorial[0] / "runs/first/weights")
    monkeypatch.chdir(tmp_path)
    [text] = [text for language, text in blocks(ROOT / page) if language == "python"]
    exec(compile(text, page, "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_on_a_page_exist(page):
    program = typer.main.get_command(cli.app)
    for language, text in blocks(page):
        for name, *arguments in commands(text) if language == "bash" else ():
            program.commands[name].make_context(name, arguments)  # raises for what the command does not take


def test_every_shell_line_is_understood_by_the_test_above():
    line = "curl -s \\\n x.org/me.jpg | traitswap transfer - -w W -o - > out.png && traitswap info W  # and so on"
    assert list(commands(line)) == [["transfer", "-", "-w", "W", "-o", "-"], ["info", "W"]]
    assert sum(len(list(commands(text))) for page in PAGES for language, text in blocks(page)) > 30


@pytest.mark.skipif(
    not all(find_spec(name) for name in ("mkdocs", "material", "mkdocstrings")),
    reason="mkdocs-material and mkdocstrings are not installed: pip install '.[docs]'",
)
def test_the_site_builds_and_fetches_nothing(tmp_path):
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    pages = {path.name: path.read_text("utf-8") for path in tmp_path.glob("*.html")}
    assert pages.keys() >= {page.with_suffix(".html").name for page in PAGES[1:]}
    for name, html in pages.items():
        assert not re.search(r"<(script|link|img|iframe|source)\b[^>]*\b(src|href)=\W?(https?:)?//", html), name
    for command in typer.main.get_command(cli.app).commands:
        assert f'id="traitswap-{command}"' in pages["cli.html"]
