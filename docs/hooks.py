"""Fills the page of the command line from the program itself, so that it cannot say something else."""

import re
import subprocess
import sys
from typing import Any

MARK = "<!-- the commands -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs with the Markdown of each page; the text in place of `MARK` is what typer says of the commands.

    Raises `CalledProcessError` if traitswap cannot be imported, which ends the build.
    """
    return markdown.replace(MARK, commands()) if MARK in markdown else markdown


def commands() -> str:
    """A list of all commands with their first sentences, then a section for each."""
    call = [sys.executable, "-m", "typer", "traitswap.cli", "utils", "docs", "--name", "traitswap"]
    text = subprocess.run(call, check=True, capture_output=True, encoding="utf-8").stdout
    # typer has such a list too, but cuts sentences short.
    sections = text[text.index("## ") :]
    first = re.findall(r"^## `traitswap (\S+)`\n\n(.+?)(?:\. |\.?$)", sections, re.MULTILINE)
    return "\n".join(f"- [{name}](#traitswap-{name}): {sentence}." for name, sentence in first) + "\n\n" + sections
