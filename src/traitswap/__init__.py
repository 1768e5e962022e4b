"""Take one attribute of a face from one photo, another from a second, and give them to yours."""

from typing import TYPE_CHECKING, Any

from traitswap.errors import TraitswapError as TraitswapError

if TYPE_CHECKING:
    from traitswap.networks.weights import load_generator as load_generator
    from traitswap.pipeline import TransferPipeline as TransferPipeline

__all__ = ["TraitswapError", "TransferPipeline", "load_generator"]


def __getattr__(name: str) -> Any:
    """Imports what is first asked for, so that the command line answers --help at once."""
    if name == "TransferPipeline":
        from traitswap.pipeline import TransferPipeline

        return TransferPipeline
    if name == "load_generator":
        from traitswap.networks.weights import load_generator

        return load_generator
    raise AttributeError(f"module 'traitswap' has no attribute '{name}'")
