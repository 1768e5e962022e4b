"""Take one attribute of a face from one photo, another from a second, and give them to yours."""

from typing import TYPE_CHECKING, Any

from traitswap.errors import TraitswapError as TraitswapError

if TYPE_CHECKING:
    from traitswap.pipeline import TransferPipeline as TransferPipeline

__all__ = ["TraitswapError", "TransferPipeline"]


def __getattr__(name: str) -> Any:
    """Imports the pipeline when it is first asked for, so that the command line answers --help at once."""
    if name == "TransferPipeline":
        from traitswap.pipeline import TransferPipeline

        return TransferPipeline
    raise AttributeError(f"module 'traitswap' has no attribute '{name}'")
