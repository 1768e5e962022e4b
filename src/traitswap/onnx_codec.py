"""The codec of exported networks: onnxruntime behind the same arrays as torch, and without it."""

import os
from pathlib import Path
from typing import Any

from traitswap.attributes import Layout
from traitswap.checkpoint import KEYS, KIND, load_config
from traitswap.codec import Codec, Codes, FloatArray, LabelArray
from traitswap.config import parse_settings
from traitswap.errors import TraitswapError

ENCODER_NAME, DECODER_NAME = "encoder.onnx", "decoder.onnx"


class OnnxCodec(Codec):
    """An encoder (x → embedding) and a decoder (embedding, photo, own units → faces), each of any batch size.

    Threads may share one: a session keeps nothing between runs.
    """

    def __init__(self, encoder: Any, decoder: Any, layout: Layout, size: int) -> None:
        self._encoder, self._decoder = encoder, decoder
        # A decoder that draws the whole picture looks at nothing of the photo, and export leaves such inputs out.
        self._decoder_inputs = {i.name for i in decoder.get_inputs()}
        self._layout, self._size = layout, size

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
        inputs = {"embedding": codes.embedding, "photo": codes.photo, "own": codes.own}
        used = {name: array for name, array in inputs.items() if name in self._decoder_inputs}
        (faces,) = self._decoder.run(None, used)
        result: FloatArray = faces
        return result


def is_exported(folder: Path) -> bool:
    return (folder / ENCODER_NAME).exists() and (folder / DECODER_NAME).exists()


def load_onnx_codec(folder: Path) -> tuple[OnnxCodec, dict[str, Any]]:
    """The codec of an exported weights folder, and its config.json. Raises `TraitswapError` if it is damaged."""
    import onnxruntime

    config = load_config(folder, KIND, KEYS)
    settings = parse_settings(config["settings"], str(folder))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # As torch does; onnxruntime alone takes every core, however many processes share them.
    threads = os.environ.get("OMP_NUM_THREADS", "")
    options.intra_op_num_threads = int(threads) if threads.isdecimal() else 0
    sessions = []
    for name in (ENCODER_NAME, DECODER_NAME):
        try:
            sessions.append(onnxruntime.InferenceSession(folder / name, options, onnxruntime.get_available_providers()))
        except Exception as error:  # onnxruntime has no public base class of its errors
            reason = str(error).splitlines()[0]
            raise TraitswapError(f"{folder / name} is damaged or cut short ({reason}): export it again") from None
    return OnnxCodec(sessions[0], sessions[1], settings.layout, settings.network.size), config
