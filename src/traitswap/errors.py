"""The one exception a person is meant to read: its text says what was got, what was expected, what to do."""

import difflib
from collections.abc import Iterable


class TraitswapError(Exception):
    """Something the user can mend. The command line prints it as one line and exits with 2.

    `hint`: the end of the text that helps only where commands or Python are typed; the web page shows `message` alone.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message + hint)
        self.message = message


def nearest(name: str, known: Iterable[str], mark: str = "") -> str:
    """A hint for a mistyped `name`: the nearest of `known`, or all of them where none is near, each after `mark`."""
    options = list(known)
    by_lower = {option.lower(): option for option in options}
    near = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(mark + by_lower[key] for key in near) + "?"
    return "there are: " + ", ".join(mark + option for option in options)
