"""Frozen feature networks given by path: an ONNX file that takes faces in 0 … 1."""

import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from traitswap.checkpoint import sha256_of
from traitswap.codec import FloatArray
from traitswap.errors import TraitswapError

_BATCH = 16
"""Faces at a time: larger ones are no faster and take a gigabyte."""
_EXPECTED = "expected one input N × 3 × H × W (float32, RGB, 0 … 1, any N) and one output N × D"


class OnnxFeatures:
    """A network from an ONNX file with one N × 3 × H × W float input (RGB, 0 … 1) and one N × D output."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        if not path.is_file():
            raise TraitswapError(f"no such feature network: {path}")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exceptions share no base class
            raise TraitswapError(f"{path} is not an ONNX network that can be run ({error})") from None
        self.name = path.stem
        self.short_name = re.sub(r"\W", "_", path.stem.partition("-")[0])
        """The file's name up to its first dash, for the names of metrics: frechet_<short name>."""
        self.sha256 = sha256_of(path)
        source = self._session.get_inputs()[0]
        self._input = source.name
        # A name or −1 where any size will do.
        self._side = source.shape[-1] if isinstance(source.shape[-1], int) and source.shape[-1] > 0 else None
        try:
            features = self(np.zeros((2, 3, 128, 128), np.float32))
        except Exception as error:  # as above, and OpenCV's
            reason = " ".join(str(error).split())
            raise TraitswapError(f"{path} cannot be run on faces ({reason}): {_EXPECTED}") from None
        if features.ndim != 2:
            raise TraitswapError(f"{path} gives an array of shape {features.shape}: {_EXPECTED}")

    def __call__(self, faces: FloatArray) -> NDArray[np.float32]:
        """Faces (N × 3 × S × S, −1 … 1), resized to the network's own size if it has one → features N × D."""
        if self._side and faces.shape[-1] != self._side:
            how = cv2.INTER_AREA if faces.shape[-1] > self._side else cv2.INTER_CUBIC
            size = (self._side, self._side)
            resized = [cv2.resize(face.transpose(1, 2, 0), size, interpolation=how) for face in faces]
            faces = np.stack(resized).transpose(0, 3, 1, 2)
        parts = [
            self._session.run(None, {self._input: (faces[i : i + _BATCH] + 1) / 2})[0]
            for i in range(0, len(faces), _BATCH)
        ]
        features: NDArray[np.float32] = np.concatenate(parts)
        return features
