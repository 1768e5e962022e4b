"""A transferred smile against the same person's real one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traitswap.attributes import Attribute
from traitswap.codec import Codec, FloatArray
from traitswap.data.cache import FaceData
from traitswap.editing import edited
from traitswap.errors import TraitswapError
from traitswap.metrics.chunks import Features, Judge, as_saved, faces_of, labels_for
from traitswap.metrics.transfer import Means, unit_length

CHUNK = 32


def people_without_and_with(data: FaceData, people: Sequence[str], column: str) -> NDArray[np.int64]:
    """For each person (sorted) with both: an image without `column`'s attribute, and one with it; N × 2 indices.

    The first of each by name. `people` says who is on each image, "" for nobody that takes part. Raises
    `TraitswapError` for fewer than two such people.
    """
    has = data.columns_of([column])[:, 0]
    first: dict[tuple[str, int], int] = {}
    for i in sorted(range(len(people)), key=lambda i: data.names[i]):
        first.setdefault((people[i], int(has[i])), i)
    both = [(first[p, 0], first[p, 1]) for p in sorted(set(people) - {""}) if (p, 0) in first and (p, 1) in first]
    if len(both) < 2:
        raise TraitswapError(
            f"{data.source_name} has {len(both)} people both with and without {column}: at least 2 are needed"
        )
    return np.array(both, np.int64)


def measure_same_person(
    codec: Codec,
    data: FaceData,
    people: NDArray[np.int64],
    attribute: Attribute,
    seed: int,
    identity: Features | None,
    judge: Judge | None,
    progress: Callable[[int], None] = lambda done: None,
    confined: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Each person's image without the attribute takes it from another person's image with it, and is held against the
    person's own image with it. `people` is N × 2 indices: without, with.

    Who takes from whom is a ring through all people, shuffled by `seed`. error: mean absolute difference of pixels to
    the real image, 0 … 255; identity: cosine to it; _untouched: the same for the image without the attribute, that is,
    for doing nothing; nearer_…: share of people whose result is nearer than that; success: judged to have it;
    kept: share of the judge's other columns that are as without it, kept_real: the same of the real image, for a real
    smile moves other labels too.
    """
    order = np.random.default_rng(seed).permutation(len(people))
    without, real = people[order, 0], people[order, 1]
    reference = np.roll(real, 1)
    means = Means()
    for start in range(0, len(order), CHUNK):
        items = slice(start, start + CHUNK)
        x, r, y = (faces_of(data, indices[items]) for indices in (without, reference, real))
        codes = codec.encode(x, labels_for(codec, data, without[items]))
        references = codec.encode(r, labels_for(codec, data, reference[items]))
        result = as_saved(edited(codec, codes, {attribute.name: references}, confined=confined))
        error, untouched = _error(result, y), _error(x, y)
        means.add("", error=error, error_untouched=untouched, nearer_pixels=error < untouched)
        if identity:
            found, was, wanted, other = (unit_length(identity(faces)) for faces in (result, x, y, r))
            near, near_before = (found * wanted).sum(1), (was * wanted).sum(1)
            leaked = (found * other).sum(1) - (was * other).sum(1)
            means.add(
                "", identity=near, identity_untouched=near_before, nearer_identity=near > near_before, leaked=leaked
            )  # fmt: skip
        if judge:
            own = judge.own(attribute)
            after, before, there = (judge.logits(faces) > 0 for faces in (result, x, y))
            has = own[0]
            means.add("", success=after[:, has], success_untouched=before[:, has], success_real=there[:, has])
            if len(judge.columns) > len(own):
                kept, kept_real = (np.delete(labels == before, own, 1).mean(1) for labels in (after, there))
                means.add("", kept=kept, kept_real=kept_real)
        progress(min(start + CHUNK, len(order)))
    keys = ("error", "error_untouched", "nearer_pixels", "identity", "identity_untouched", "nearer_identity", "leaked")
    judged = ("success", "success_untouched", "success_real", "kept", "kept_real")
    return {"people": len(order), **means.of("", (*keys, *judged))}


def _error(x: FloatArray, y: FloatArray) -> NDArray[np.float64]:
    error: NDArray[np.float64] = np.abs(x.astype(np.float64) - y).mean((1, 2, 3)) * 127.5
    return error
