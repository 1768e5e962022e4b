"""What every method's generator can do: encode, exchange units, decode. This is what is averaged, kept and used."""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from traitswap.attributes import Layout


class TransferNetwork(nn.Module, ABC):
    """`forward` is the method's own training pass; use and evaluation know only what stands here."""

    channel_attribute: Tensor

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout = layout
        self.register_buffer("channel_attribute", torch.tensor(layout.channel_attribute()), persistent=False)

    @abstractmethod
    def encode(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Faces (N × 3 × S × S in −1 … 1) → embedding (N × C × s × s), its channels cut as the layout says.

        `labels`: N × columns of 0 and 1 in the order of `layout.columns`. Raises `TraitswapError` where a method
        needs them and there are none.
        """

    @abstractmethod
    def decode(self, embedding: Tensor, photo: Tensor, own: Tensor | None = None) -> Tensor:
        """Embedding → faces (N × 3 × S × S in −1 … 1); `photo`: the faces that were encoded.

        `own`: their own units, N × k·u × s × s. What needs them finds them anew if they are not given.
        """

    def units(self, embedding: Tensor) -> Tensor:
        """All that can be swapped of an embedding, N × k·u × s × s."""
        return embedding[:, : self.layout.swapped_channels]

    def parts(self) -> dict[str, nn.Module]:
        """The modules that a weights folder holds, by name: all that `encode` and `decode` need."""
        return dict(self.named_children())

    def exchanged(self, embedding: Tensor, swapped: Tensor) -> Tensor:
        """Each item's units of `swapped` (N × k, bool) taken from its partner, half a batch away. z never moves.

        `embedding`: whole, or its units alone.
        """
        channels = swapped[:, self.channel_attribute]
        channels = F.pad(channels, (0, embedding.shape[1] - channels.shape[1]))[:, :, None, None]
        return torch.where(channels, partner(embedding), embedding)

    def transfer(self, x: Tensor, swapped: Tensor) -> Tensor:
        """Encode, exchange, decode: the path of use, on a batch of pairs."""
        embedding = self.encode(x)
        return self.decode(self.exchanged(embedding, swapped), x, self.units(embedding))


def partner(batch: Tensor) -> Tensor:
    """The other of each pair: image i of a batch of n is paired with image i ± n/2."""
    return batch.roll(len(batch) // 2, 0)
