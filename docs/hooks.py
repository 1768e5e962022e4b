"""Fills the page of the command line from the program itself, and the model card from its evaluation, so that they
cannot say something else."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from traitswap.metrics.report import PLACE
from traitswap.metrics.report import markdown as tables

MARK = "<!-- the commands -->"
REPORT = Path(__file__).parent / "results/traitswap.json"
"""Of the packaged weights."""


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs with the Markdown of each page.

    In place of `MARK` comes what typer says of the commands, in place of `PLACE` the evaluation. Raises
    `CalledProcessError` if traitswap cannot be imported, which ends the build.
    """
    if MARK in markdown:
        return markdown.replace(MARK, commands())
    return markdown.replace(PLACE, evaluation()) if PLACE in markdown else markdown


def evaluation() -> str:
    """The tables of the packaged weights."""
    return tables(json.loads(REPORT.read_text("utf-8"))["models"][0])


def commands() -> str:
    """A list of all commands with their first sentences, then a section for each."""
    call = [sys.executable, "-m", "typer", "traitswap.cli", "utils", "docs", "--name", "traitswap"]
    text = subprocess.run(call, check=True, capture_output=True, encoding="utf-8").stdout
    # typer has such a list too, but cuts sentences short.
    sections = text[text.index("## ") :]
    first = re.findall(r"^## `traitswap (\S+)`\n\n(.+?)(?:\. |\.?$)", sections, re.MULTILINE)
    return "\n".join(f"- [{name}](#traitswap-{name}): {sentence}." for name, sentence in first) + "\n\n" + sections
