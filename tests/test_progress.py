"""Long work says how far it is, wherever it runs."""

import io

import pytest
from rich.console import Console

from traitswap import progress


@pytest.mark.parametrize("how", ["update", "advance"])
def test_where_there_is_no_terminal_lines_tell(how, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    console = Console(file=io.StringIO(), width=80)
    with progress.bar("evaluate", console) as bar:
        task = bar.add_task("pairs", total=2000)
        for done in range(1, 501):
            now[0] += 0.3
            if how == "update":
                bar.update(task, completed=done)
            else:
                bar.advance(task)
    first, second = console.file.getvalue().splitlines()
    assert first.startswith("evaluate: 200 of 2,000, about 0:0")
    assert second.startswith("evaluate: 400 of 2,000")


def test_what_is_done_in_a_moment_is_not_told():
    console = Console(file=io.StringIO())
    with progress.bar("decode", console) as bar:
        bar.update(bar.add_task("images", total=None), completed=3, total=4)
    assert console.file.getvalue() == ""
