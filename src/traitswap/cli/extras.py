"""What a command needs beyond the base install."""

from importlib.util import find_spec

from traitswap.errors import TraitswapError


def needs(extra: str, *modules: str) -> None:
    """Raises `TraitswapError`, with the remedy, unless all of the modules are installed. Imports none of them."""
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise TraitswapError(f"this needs {', '.join(missing)}: pip install 'traitswap[{extra}]'")
