"""The command line: parse, call, show. Networks are imported inside commands, so that --help is instant."""

import importlib.metadata
import inspect
import re
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from traitswap.cli import demo, training, using
from traitswap.errors import TraitswapError

app = typer.Typer(
    name="traitswap",
    no_args_is_help=True,
    # Plain: drawing boxes around help takes longer than all else that --help does.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Take one attribute of a face from one photo, another from a second, and give them to yours.",
)
for part in (demo.app, using.app, training.app):
    app.add_typer(part)
    for command in part.registered_commands:
        # Whole in the list of commands, where it would be cut after some words.
        command.short_help = re.split(r"\.\s", f"{inspect.getdoc(command.callback)} ")[0]


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"traitswap {importlib.metadata.version('traitswap')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def spread(arguments: Sequence[str]) -> list[str]:
    """`--photos a b c` as `--photos a --photos b --photos c`, so that a shell's *.png can be given."""
    result: list[str] = []
    option = ""
    fresh = False
    for argument in arguments:
        if argument.startswith("-"):
            option = argument if argument in ("--photos", "--references") else ""
            fresh = True
        elif option:
            if not fresh:
                result.append(option)
            fresh = False
        result.append(argument)
    return result


def main() -> None:
    try:
        app(spread(sys.argv[1:]))
    except TraitswapError as error:
        typer.echo(f"traitswap: {error}", err=True)
        raise SystemExit(2) from None
    except OSError as error:
        typer.echo(f"traitswap: {error.filename or 'the disk'}: {error.strerror or error}", err=True)
        raise SystemExit(2) from None
