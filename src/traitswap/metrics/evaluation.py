"""One evaluation of a weights folder: numbers that carry their whole protocol."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from rich.console import Console

from traitswap import progress
from traitswap.attributes import Attribute
from traitswap.baselines import StarGANSettings
from traitswap.checkpoint import CONFIG_NAME, WEIGHTS_NAME, sha256_of
from traitswap.codec import Codec
from traitswap.config import DataSettings, parse_settings
from traitswap.data import drawn
from traitswap.data.cache import FaceData
from traitswap.data.open import SEED, open_faces
from traitswap.data.pairs import held_out_pairs
from traitswap.data.sources import OnProblem
from traitswap.data.tables import people_of
from traitswap.editing import check_confined, drawing_of
from traitswap.errors import TraitswapError
from traitswap.images import RESIZE
from traitswap.metrics.chunks import Judge, Pairs, transferred
from traitswap.metrics.features import OnnxFeatures
from traitswap.metrics.quality import Quality, few_images
from traitswap.metrics.same_person import measure_same_person, people_without_and_with
from traitswap.metrics.style import Blending, Style
from traitswap.metrics.transfer import TransferTable
from traitswap.mirrored import Mirrored
from traitswap.networks.classifier import AttributeClassifier
from traitswap.networks.weights import load_classifier, load_codec, torch_features

PAIRING = "split shuffled by seed, halved into A and B, paired one to one, both ways; attributes whose labels differ"
SAME_PERSON_PAIRING = "each person takes the attribute from another's image with it: a ring shuffled by seed"


@dataclass(frozen=True)
class Request:
    """What to measure, and on what. `attributes` empty: all that the weights know."""

    data: str
    split: Literal["train", "val", "test"] = "test"
    pairs: int = 1000
    seed: int = 0
    attributes: tuple[str, ...] = ()
    confined: Mapping[str, str] = field(default_factory=dict)
    """Attributes that are to change one region alone (`editing`), besides those that the weights name and before
    them."""
    mirrored: bool = False
    """Draw every face twice, also mirrored (`mirrored`), even if the weights do not ask for it."""
    judge: Path | None = None
    identity_network: Path | None = None
    feature_network: Path | None = None
    same_person: str | None = None
    """The column that says who is on an image: measures transfers against the person's own other image instead."""
    on_problem: OnProblem = "stop"


class Evaluator:
    """Measures weights folders one after another, with networks and data read once."""

    def __init__(self, request: Request, console: Console) -> None:
        if request.judge is None and not request.same_person:
            raise TraitswapError("no --judge is given: train one that took no part with traitswap train-classifier")
        self._request = request
        self._console = console
        self._identity = OnnxFeatures(request.identity_network) if request.identity_network else None
        self._network = OnnxFeatures(request.feature_network) if request.feature_network else None
        self._judge = load_classifier(request.judge) if request.judge else None
        self._data: dict[tuple[int, DataSettings], FaceData] = {}

    def evaluate(self, weights: Path) -> dict[str, Any]:
        """The report on one weights folder: `protocol`, and every number with its name."""
        plain, config = load_codec(weights)
        drawing = drawing_of(config, weights / CONFIG_NAME, plain.layout)
        mirrored = drawing.mirrored or self._request.mirrored
        codec: Codec = Mirrored(plain) if mirrored else plain
        settings = parse_settings(config["settings"], str(weights))
        request = self._request
        data = self._open(codec.size, settings.data).spelled_as(codec.layout.columns)
        codec.layout.check_names(request.attributes)
        attributes = [a for a in codec.layout.attributes if not request.attributes or a.name in request.attributes]
        try:
            data.columns_of([column for a in attributes for column in a.columns])
        except TraitswapError as error:
            raise TraitswapError(f"{error}: choose what it has labels for by --attribute NAME") from None
        check_confined(request.confined, codec.layout)
        confined = {**drawing.confined, **request.confined}
        if isinstance(settings, StarGANSettings) and (mirrored or confined):
            raise TraitswapError(f"{weights} is StarGAN's, which is told labels: leave out --mirror and --confine")
        judge = self._fitting_judge(codec.size)
        about = {
            "weights": weights.name if weights.name != "weights" else weights.resolve().parent.name,
            "weights_sha256": sha256_of(weights / WEIGHTS_NAME),
            "preset": config["preset"],
            "images_seen": config["images_seen"],
            "training_data": config["training_data"],
            "attributes": {a.name: list(a.columns) for a in attributes},
            "confined": confined,
            "mirrored": mirrored,
        }
        if request.same_person:
            measured = self._same_person(codec, data, attributes, judge, request.same_person, confined)
        else:
            assert judge is not None, "a request without one is refused at the beginning"
            measured = self._pairs(codec, data, attributes, judge, settings.data, confined)
        measured["protocol"] = {**about, **measured["protocol"], **self._common(data, codec)}
        return measured

    def _open(self, size: int, settings: DataSettings) -> FaceData:
        key = (size, settings)
        if key not in self._data:
            self._data[key], problems = open_faces(self._request.data, size, settings, self._request.on_problem)
            for problem in problems:
                self._note(problem)
        return self._data[key]

    def _note(self, text: str) -> None:
        self._console.print(f"note: {text}", highlight=False, soft_wrap=True, markup=False)

    def _fitting_judge(self, size: int) -> Judge | None:
        if self._judge is None or self._request.judge is None:
            return None
        model, config = self._judge
        _check_size(model, self._request.judge, size)
        return Judge(torch_features(model), tuple(config["columns"]))

    def _pairs(
        self,
        codec: Codec,
        data: FaceData,
        attributes: Sequence[Attribute],
        judge: Judge,
        settings: DataSettings,
        confined: Mapping[str, str],
    ) -> dict[str, Any]:
        request = self._request
        pairs = held_out_pairs(_split(data, request.split), request.pairs, request.seed)
        names = [a.name for a in attributes]
        transfer = TransferTable(attributes, judge, self._identity)
        style = Style(attributes, judge, _degrees(request.data, attributes, settings, codec.size))
        blending = Blending(codec, attributes, judge)
        quality = Quality(self._network, self._network.short_name, names) if self._network else None
        with progress.bar("evaluate", self._console) as bar:
            task = bar.add_task("pairs", total=len(pairs[0]))
            for chunk in transferred(codec, data, pairs, judge, attributes, confined=confined):
                for collector in (transfer, style, blending, quality):
                    if collector is not None:
                        collector.add(chunk)
                bar.advance(task, len(chunk.indices) // 2)
        report: dict[str, Any] = {
            "protocol": {
                "split": request.split,
                "pairs": len(pairs[0]),
                "pairing": PAIRING,
                "images_sha256": images_sha256(data, pairs),
            },
            **transfer.result().to_dict(),
            "style": style.result(),
            "blending": blending.result(),
        }
        if quality:
            report["quality"] = quality.result(request.seed)
            report["notes"] = self._few(report["quality"], quality.dimension)
        return report

    def _few(self, quality: dict[str, dict[str, Any]], dimension: int) -> list[str]:
        warnings = [few_images(name, row["count"] // 2, dimension) for name, row in quality.items()]
        notes = [warning for warning in warnings if warning]
        for note in notes:
            self._note(note)
        return notes

    def _same_person(
        self,
        codec: Codec,
        data: FaceData,
        attributes: Sequence[Attribute],
        judge: Judge | None,
        column: str,
        confined: Mapping[str, str],
    ) -> dict[str, Any]:
        if len(attributes) != 1 or len(attributes[0].columns) != 1:
            raise TraitswapError("--same-person needs one attribute of one label column: name it by --attribute")
        who = people_of(Path(self._request.data), data.names, column)
        people = people_without_and_with(data, who, attributes[0].columns[0])
        with progress.bar("evaluate", self._console) as bar:
            task = bar.add_task("people", total=len(people))
            measured = measure_same_person(
                codec,
                data,
                people,
                attributes[0],
                self._request.seed,
                self._identity,
                judge,
                lambda done: bar.update(task, completed=done),
                confined,
            )
        protocol = {
            "split": "all",
            "people": len(people),
            "pairing": SAME_PERSON_PAIRING,
            "images_sha256": images_sha256(data, people.T),
        }
        return {"protocol": protocol, "same_person": measured}

    def _common(self, data: FaceData, codec: Codec) -> dict[str, Any]:
        request = self._request
        judge = None
        if request.judge and self._judge:
            accuracy = self._judge[1]["held_out_accuracy"]
            judge = {
                "sha256": sha256_of(request.judge / WEIGHTS_NAME),
                "held_out_accuracy": {c: accuracy[c] for c in codec.layout.columns if c in accuracy},
            }
        return {
            "data": data.source_name,
            "seed": request.seed,
            "size": codec.size,
            "resize": RESIZE,
            "results": "rounded to 8 bits, as saved",
            "judge": judge,
            "identity_network": _about(self._identity),
            "feature_network": _about(self._network),
            "versions": {m.__name__: m.__version__ for m in (np, cv2, torch, onnxruntime)},
            "threads": torch.get_num_threads(),
        }


def _about(network: OnnxFeatures | None) -> dict[str, str] | None:
    return {"name": network.name, "sha256": network.sha256} if network else None


def images_sha256(data: FaceData, groups: Iterable[NDArray[np.int64]] | Pairs) -> str:
    """Of the decoded pixels in the order of their use: the same wherever the same faces are measured."""
    state = hashlib.sha256()
    for indices in groups:
        for i in indices:
            state.update(data.images[i].tobytes())
    return state.hexdigest()


def _split(data: FaceData, name: Literal["train", "val", "test"]) -> NDArray[np.int64]:
    try:
        return data.split(name)
    except TraitswapError as error:
        raise TraitswapError(f"{error}: choose one of them, such as --split val") from None


def _degrees(
    where: str, attributes: Sequence[Attribute], settings: DataSettings, size: int
) -> dict[str, NDArray[np.float64]]:
    """On drawn faces, how far each goes in each column; nothing of any other data."""
    if where != "drawn":
        return {}
    source = drawn.DrawnFaces(settings.drawn_count, SEED, size)
    faces = [source.face(i) for i in range(len(source.names))]
    table = {c: [drawn.degree(face, c) for face in faces] for a in attributes for c in a.columns}
    return {c: np.array(values, np.float64) for c, values in table.items() if values[0] is not None}


def classifier_for(data: FaceData, folder: Path) -> tuple[AttributeClassifier, dict[str, Any]]:
    """The classifier in `folder` and its config.json. Raises if it knows other label columns than `data` has, or
    another size."""
    model, config = load_classifier(folder)
    _check_size(model, folder, data.images.shape[1])
    if tuple(config["columns"]) != data.columns:
        raise TraitswapError(
            f"the classifier in {folder} knows other label columns than {data.source_name}: "
            "train one on this data with traitswap train-classifier"
        )
    return model, config


def _check_size(model: AttributeClassifier, folder: Path, size: int) -> None:
    if size % model.size:
        raise TraitswapError(
            f"the classifier in {folder} looks at {model.size} pixels; the faces have {size}, "
            "which is not a multiple: train one on this data with traitswap train-classifier"
        )
