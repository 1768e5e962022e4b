"""Is the run alive, is it leaking: a line and a picture, on fixed held-out pairs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from traitswap.codec import Codec
from traitswap.data.cache import FaceData
from traitswap.figures import sheet
from traitswap.images import UInt8Array, save_photo, to_pixels
from traitswap.metrics.transfer import AttributeResult, Features, Judge, TransferResult, faces_of, measure_transfer

SAMPLE_ROWS = 8


@dataclass(frozen=True)
class Health:
    """`pairs` are held-out faces; `judge` has seen none of the run; `identity` (optional) tells people apart."""

    data: FaceData
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]]
    judge: Judge
    identity: Features | None = None

    def check(self, codec: Codec) -> tuple[str, dict[str, float]]:
        """The health line, and its numbers by name."""
        result = measure_transfer(codec, self.data, self.pairs, self.judge, self.identity)
        return health_line(result), flat(result)

    def sample(self, codec: Codec, path: Path) -> None:
        """Photo, reference, reconstruction, each attribute swapped, all of them: one row a pair."""
        names = codec.layout.names
        rows = transfer_rows(codec, self.data, *(side[:SAMPLE_ROWS] for side in self.pairs))
        save_photo(sheet(rows, ["photo", "reference", "rebuilt", *names, "all"][: len(rows[0])]), path)


def transfer_rows(
    codec: Codec, data: FaceData, photos: NDArray[np.int64], references: NDArray[np.int64]
) -> list[list[UInt8Array | None]]:
    names = codec.layout.names
    x, r = faces_of(data, photos), faces_of(data, references)
    labels = data.columns_of(codec.layout.columns)
    codes, reference_codes = codec.encode(x, labels[photos]), codec.encode(r, labels[references])
    takes = [(), *((name,) for name in names), *([names] if len(names) > 1 else [])]
    columns = [x, r] + [codec.decode(codes.blend(dict.fromkeys(take, reference_codes))) for take in takes]
    return [[to_pixels(column[i]).transpose(1, 2, 0) for column in columns] for i in range(len(x))]


def health_line(result: TransferResult) -> str:
    """One line: for each attribute, success (floor, ceiling), other labels kept, identity, border."""
    rebuilt = f"rebuilt {result.reconstruction['psnr']:.1f} dB"
    if "identity" in result.reconstruction:
        rebuilt += f", identity {result.reconstruction['identity']:.2f}"
    return " | ".join([*(attribute_line(name, a) for name, a in result.attributes.items()), rebuilt])


def attribute_line(name: str, a: AttributeResult) -> str:
    if not a.pairs:
        return f"[cyan]{name}[/]: no pair differs"
    text = f"[cyan]{name}[/] changed {a.success:.0%} (untouched {a.success_untouched:.0%}, real {a.success_real:.0%})"
    if a.kept is not None:
        text += f", others kept {a.kept:.1%}"
    if a.identity is not None:
        text += f", identity {a.identity:.2f}, leaked {a.leaked:+.3f}"
    return f"{text}, border moved {a.border_change:.3f}"


def flat(result: TransferResult) -> dict[str, float]:
    values = {
        f"{name}/{key}": value
        for name, a in result.to_dict()["attributes"].items()
        for key, value in a.items()
        if value is not None
    }
    return values | {f"reconstruction/{key}": value for key, value in result.reconstruction.items()}
