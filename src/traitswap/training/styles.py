"""Style prototypes found in the training set: medoids of clusters of the units of each label."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from traitswap.codec import Codec, FloatArray
from traitswap.data.cache import FaceData
from traitswap.metrics.chunks import CHUNK, faces_of, labels_for
from traitswap.styles import Styles, label_names, numbered, without_place

FACES = 600
"""Of every label: enough for three clusters, and seconds to encode."""
STYLES = 3


def find_styles(
    codec: Codec, data: FaceData, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> Styles:
    """Up to `STYLES` typical units of each label of each attribute, the one nearest to the mean of all first.

    Of up to `FACES` training faces with that label (of an attribute with several columns: with that one alone), drawn
    by `seed`; a label that fewer than `STYLES` faces have gets one style for each. A style is the unit of a real face,
    the one nearest to the middle of its cluster (k-means on the unit's mean over all places). `progress` is called
    with (faces encoded, faces in all).
    """
    train = data.split("train")
    rng = np.random.default_rng(seed)
    chosen: dict[tuple[str, str], NDArray[np.int64]] = {}
    for attribute in codec.layout.attributes:
        labels = data.columns_of(attribute.columns)[train]
        for name, wanted in label_names(attribute).items():
            having = train[(labels == wanted).all(1)]
            if len(having):
                chosen[attribute.name, name] = rng.permutation(having)[:FACES]
    total, done = sum(map(len, chosen.values())), 0
    found: dict[str, dict[str, FloatArray]] = {}
    for (attribute_name, name), indices in chosen.items():
        units = []
        for start in range(0, len(indices), CHUNK):
            part = indices[start : start + CHUNK]
            codes = codec.encode(faces_of(data, part), labels_for(codec, data, part))
            units.append(without_place(codes.embedding[:, codec.layout.unit(attribute_name)]))
            done += len(part)
            if progress:
                progress(done, total)
        medoids = _medoids(np.concatenate(units), STYLES, seed)
        found.setdefault(attribute_name, {}).update(numbered(name, medoids))
    return Styles(found)


def _medoids(units: FloatArray, count: int, seed: int) -> list[FloatArray]:
    points = np.ascontiguousarray(units.mean((2, 3), dtype=np.float32))
    count = min(count, len(points))
    cv2.setRNGSeed(seed)
    until = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_MAX_ITER, 100, 1e-4)
    _, cluster, centres = cv2.kmeans(points, count, None, until, 10, cv2.KMEANS_PP_CENTERS)  # type: ignore[call-overload]
    distances = np.linalg.norm(points[:, None] - centres, axis=2)
    distances[cluster != np.arange(count)] = np.inf
    medoids = distances.argmin(0)
    # Clusters are mostly degrees of the label. The largest is often the utmost, and the middle one what is expected.
    from_mean = np.linalg.norm(points[medoids] - points.mean(0), axis=1)
    return [units[i] for i in medoids[from_mean.argsort(kind="stable")]]
