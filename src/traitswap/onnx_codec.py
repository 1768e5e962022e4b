"""The codec of exported networks: onnxruntime behind the same arrays as torch, and without it."""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from traitswap.attributes import Layout
from traitswap.checkpoint import KEYS, KIND, load_config
from traitswap.codec import Codec, Codes, FloatArray, LabelArray
from traitswap.config import JoinedSettings, parse_settings
from traitswap.errors import TraitswapError

ENCODER_NAME, DECODER_NAME, PART_NAME = "encoder.onnx", "decoder.onnx", "decoder-{}.onnx"
FEW, REMEMBERED = 2, 8
"""Of as many faces at most, a face and its mirror image, it is remembered what untaken parts add; and of so many."""


class OnnxCodec(Codec):
    """An encoder (x → embedding) and a decoder (embedding, photo, own units → faces), each of any batch size.

    Joined weights have a decoder for each part, that gives what the part adds to the photo; `given` names what is taken
    of each. A part of which nothing is taken is not drawn again while a slider moves. Threads may share one.
    """

    def __init__(
        self, encoder: Any, decoders: Sequence[Any], layout: Layout, size: int, given: Sequence[Sequence[str]] = ()
    ) -> None:
        self._encoder, self._decoders = encoder, decoders
        self._layout, self._size = layout, size
        self._units = [np.concatenate([np.arange(layout.channels)[layout.unit(n)] for n in names]) for names in given]
        self._remembered = lru_cache(maxsize=REMEMBERED * max(len(given), 1))(self._own_change)

    @property
    def layout(self) -> Layout:
        return self._layout

    @property
    def size(self) -> int:
        return self._size

    def to(self, device: str) -> None:
        raise TraitswapError(
            "exported networks run where the installed onnxruntime runs them (onnxruntime-gpu: on a GPU); "
            "for a choice of device use the weights they were exported from"
        )

    def encode(self, faces: FloatArray, labels: LabelArray | None = None) -> Codes:
        (embedding,) = self._encoder.run(None, {"x": faces})
        return Codes(embedding, faces, self._layout)

    def decode(self, codes: Codes) -> FloatArray:
        if not self._units:
            return _run(self._decoders[0], codes)
        untaken = self._untaken(codes) if len(codes) <= FEW else None
        result = codes.photo
        for part, units in enumerate(self._units):
            if untaken is None or (codes.embedding[:, units] != codes.own[:, units]).any():
                result = result + _run(self._decoders[part], codes)
            else:
                result = result + self._remembered(part, untaken)
        return np.clip(result, -1, 1)

    def _untaken(self, codes: Codes) -> "_Faces":
        rest = codes.embedding[:, self._layout.swapped_channels :]
        return _Faces(replace(codes, embedding=np.concatenate([codes.own, rest], 1), untaken=None))

    def _own_change(self, part: int, faces: "_Faces") -> FloatArray:
        return _run(self._decoders[part], faces.codes)


class _Faces:
    """Faces of which nothing is taken, to be found again."""

    def __init__(self, codes: Codes) -> None:
        self.codes = codes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Faces) and all(
            np.array_equal(getattr(self.codes, name), getattr(other.codes, name)) for name in ("photo", "embedding")
        )

    def __hash__(self) -> int:
        return hash(self.codes.photo.tobytes())


def _run(decoder: Any, codes: Codes) -> FloatArray:
    inputs = {"embedding": codes.embedding, "photo": codes.photo, "own": codes.own}
    # A decoder that draws the whole picture looks at nothing of the photo, and export leaves such inputs out.
    names = {i.name for i in decoder.get_inputs()}
    (result,) = decoder.run(None, {name: array for name, array in inputs.items() if name in names})
    found: FloatArray = result
    return found


def is_exported(folder: Path) -> bool:
    return (folder / ENCODER_NAME).exists() and any(
        (folder / name).exists() for name in (DECODER_NAME, PART_NAME.format(0))
    )


def load_onnx_codec(folder: Path) -> tuple[OnnxCodec, dict[str, Any]]:
    """The codec of an exported weights folder, and its config.json. Raises `TraitswapError` if it is damaged."""
    import onnxruntime

    config = load_config(folder, KIND, KEYS)
    settings = parse_settings(config["settings"], str(folder))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Threads that wait busily for more of one network's work would stand in the next one's way.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # As torch does; onnxruntime alone takes every core, however many processes share them.
    threads = os.environ.get("OMP_NUM_THREADS", "")
    options.intra_op_num_threads = int(threads) if threads.isdecimal() else 0
    given = settings.given if isinstance(settings, JoinedSettings) else ()
    sessions = []
    for name in (ENCODER_NAME, *([PART_NAME.format(part) for part in range(len(given))] or [DECODER_NAME])):
        try:
            sessions.append(onnxruntime.InferenceSession(folder / name, options, onnxruntime.get_available_providers()))
        except Exception as error:  # onnxruntime has no public base class of its errors
            reason = str(error).splitlines()[0]
            raise TraitswapError(f"{folder / name} is damaged or cut short ({reason}): export it again") from None
    return OnnxCodec(sessions[0], sessions[1:], settings.layout, settings.network.size, given), config
