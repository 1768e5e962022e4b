"""Frozen feature networks given by path: an ONNX file that takes faces in 0 … 1."""

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from traitswap.codec import FloatArray
from traitswap.errors import TraitswapError


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
        self.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        self._input = self._session.get_inputs()[0].name

    def __call__(self, faces: FloatArray) -> NDArray[np.float32]:
        """Faces (N × 3 × H × W, −1 … 1) → features N × D."""
        features: NDArray[np.float32] = self._session.run(None, {self._input: (faces + 1) / 2})[0]
        return features
