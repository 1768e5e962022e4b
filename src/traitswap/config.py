"""Settings of the paper's method, and where any settings come from: presets are TOML files that a user can copy."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError, model_validator

from traitswap.attributes import Layout, attributes_from, check_attributes
from traitswap.baselines import DNAGANSettings, StarGANSettings
from traitswap.errors import TraitswapError, nearest
from traitswap.settings import ClassifierSettings as ClassifierSettings
from traitswap.settings import DataSettings as DataSettings
from traitswap.settings import MethodBase, NetworkBase, Positive, Share, Weight, Widths
from traitswap.settings import ModelSettings as ModelSettings
from traitswap.settings import Settings as Settings
from traitswap.settings import TrainSettings as TrainSettings

_Model = TypeVar("_Model", bound=BaseModel)


class NetworkSettings(NetworkBase):
    """Sizes of encoder, decoder and discriminator. The last of `widths` is the trunk's."""

    widths: Widths
    """Channels after the first convolution and after each stride-2 one."""
    patch: Literal[1, 2] = 1
    """2: the picture enters and leaves as 2×2 patches folded into channels, a quarter of the work."""
    stem_kernel: Literal[3, 5, 7] = 7
    encoder_blocks: Annotated[int, Field(ge=0)] = 3
    decoder_blocks: Annotated[int, Field(ge=0)] = 3
    unit_channels: Positive = 16
    rest_channels: Positive = 160
    pool_units: bool = False
    """Units come from a branch of the encoder that averages over the picture: they say what an attribute is like and
    not where it lies. With a guide, the branch starts as a copy of the guide's trunk."""
    unit_logits: bool = False
    """With a guide: the first channels of each unit start as the guide's logits of the attribute's columns. Training
    is faster at first; but a guide that is all but certain, as of drawn faces, has no degrees in its logits."""
    unit_width: Positive = 16
    unit_size: Positive = 64
    """Width of that branch, and the size to which it averages the face down."""
    residual: bool = False
    """The decoder adds a change to the photo, which it sees, instead of drawing the whole picture."""
    recolor: bool = False
    """With `residual`: the change of a pixel may depend on its colour. Black becomes blond and white stays white."""
    warp: bool = False
    """With `residual`: the decoder first moves the photo's pixels a little: corners of a mouth rise, and are not drawn
    anew."""
    discriminator_widths: Widths
    spectral_norm: bool = True
    discriminator_leak: Weight = 0.01
    """Slope of its leaky ReLU below 0."""
    score_maps: Positive = 1
    """How many of the discriminator's last layers tell real from fake, each at its own scale."""
    conditional_scores: bool = False
    """They judge a face together with the labels of the attributes that it is to show: a face that was given a
    fringe is compared with faces that have one."""
    guide_scores: bool = False
    """They look at what the guide's trunk makes of the face as well, as Sauer et al. (2021) do with another frozen
    network: a discriminator that begins with nothing learns little of what few photos show."""

    @model_validator(mode="after")
    def _divisible(self) -> "NetworkSettings":
        self.check_strides(
            ("the stride of network.widths", self.stride),
            ("the stride of network.discriminator_widths", 2 ** len(self.discriminator_widths)),
            ("network.unit_size", self.unit_size if self.pool_units else 1),
        )
        if self.residual and self.patch > 1 and self.widths[0] < 8:
            raise ValueError(f"network.residual with patch 2 needs network.widths from 8 on (got {self.widths[0]})")
        if (self.recolor or self.warp) and not self.residual:
            raise ValueError("network.recolor and network.warp need network.residual")
        if self.score_maps > len(self.discriminator_widths):
            raise ValueError(
                f"network.score_maps is {self.score_maps}, but network.discriminator_widths has only "
                f"{len(self.discriminator_widths)} layers"
            )
        return self

    @property
    def stride(self) -> int:
        """Pixels of a face to one of the embedding."""
        return self.patch << (len(self.widths) - 1)


class MethodSettings(MethodBase):
    """The objective, eq. 7, and the options that go beyond the paper (all off there)."""

    name: Literal["latent-swap"] = "latent-swap"
    lambda_adv: Weight = 1.0
    lambda_cls: Weight = 0.1
    lambda_ver: Weight = 0.1
    lambda_rec: Weight = 10.0
    lambda_gp: Weight = 10.0
    gp_interval: Positive = 1
    """The gradient penalty is taken every so many steps, as many times heavier."""
    r1: bool = False
    """The penalty holds D's slope near 0 at real faces, in place of eq. 1's near 1 between real and synthesized."""
    lambda_cls_d: Weight = 0.1
    """Weight of the discriminator's own classification loss, eq. 2."""
    verify_averaged: bool = True
    """Unit differences are averaged over their positions before the verification layer (the paper leaves it open)."""
    keep_labels: bool = False
    """Classify all label columns of the data: those that nothing swapped moves are to stay."""
    swapped_weight: Weight = 1.0
    """Weight of the columns of what is swapped in the generator's classification loss; all others weigh 1."""
    early_images: Annotated[int, Field(ge=0)] = 0
    """Of a run's first images. In them, `early_weight`, shared by an attribute's columns, stands in for
    `swapped_weight`: an attribute of many columns does not push aside one of few before both have begun to move."""
    early_weight: Weight = 1.0
    lambda_self: Weight = 0.0
    """L1 of photo and result where nothing is swapped."""
    lambda_change: Weight = 0.0
    """L1 of photo and result, whatever is swapped: a change is to be sparse (Shen and Liu, 2017)."""
    guide: bool = False
    """The generator is judged by a classifier trained beforehand, not by the discriminator's own head."""
    soft_targets: bool = False
    """The guide's opinion of photo and reference is the target, in place of their labels: free of label noise, and a
    degree instead of yes or no."""
    target_sharpness: Annotated[float, Field(ge=1)] = 1.0
    """With `soft_targets`: the guide's logits of the reference are multiplied by it. Where the guide is unsure of the
    reference, half of the results would else fall on the other side."""
    balanced: bool = False
    """The second image of each pair shows one of the attributes' columns, every column as often: what few photos show,
    such as eyeglasses, is learnt as soon as what many do."""
    rarity: Weight = 0.0
    """With `balanced`: a column that half as many faces show comes 2^rarity times as often. What hardly any face shows
    is the hardest to learn."""
    related_correlation: Share = 0.4
    """With `keep_labels`: columns that correlate with an attribute more than this, in the data's labels, are free when
    it is swapped. A smile lifts the cheeks; to demand that they stay would forbid it."""

    @model_validator(mode="after")
    def _soft_needs_guide(self) -> "MethodSettings":
        if self.soft_targets and not self.guide:
            raise ValueError("method.soft_targets needs method.guide, whose opinion is the target")
        return self


class LatentSwapSettings(Settings):
    network: NetworkSettings
    method: MethodSettings = MethodSettings()

    @model_validator(mode="after")
    def _guide_fits(self) -> "LatentSwapSettings":
        if self.network.guide_scores and not self.method.guide:
            raise ValueError("network.guide_scores needs method.guide, at whose features they look")
        branch = (self.network.unit_width, self.network.unit_size)
        if self.method.guide and self.network.pool_units and branch != (self.classifier.width, self.classifier.size):
            raise ValueError(
                f"network.unit_width and unit_size are {branch}, but the guide's classifier.width and size are "
                f"{(self.classifier.width, self.classifier.size)}: the branch starts as its copy, so make them equal"
            )
        return self

    @property
    def layout(self) -> Layout:
        return Layout(attributes_from(self.attributes), self.network.unit_channels, self.network.rest_channels)


class JoinedMethod(MethodBase):
    name: Literal["joined"] = "joined"


class JoinedSettings(ModelSettings):
    """Of weights that `traitswap join` made of several, which were trained with `parts`."""

    method: JoinedMethod = JoinedMethod()
    parts: Annotated[tuple[LatentSwapSettings, ...], Field(min_length=2)]

    @model_validator(mode="after")
    def _fit_together(self) -> "JoinedSettings":
        if not all(part.network.residual for part in self.parts):
            raise ValueError("network.residual is off: only changes of a photo can be added up, not whole pictures")
        alike: dict[str, list[object]] = {
            "network.size": [part.network.size for part in self.parts],
            "network.unit_channels": [part.network.unit_channels for part in self.parts],
            "the stride of network.widths": [part.network.stride for part in self.parts],
            "data": [part.data for part in self.parts],
        }
        for what, values in alike.items():
            if any(value != values[0] for value in values):
                raise ValueError(f"{what} differs ({', '.join(map(str, values))})")
        return self

    @property
    def given(self) -> tuple[tuple[str, ...], ...]:
        """The attributes that are taken of each part: all that no later one knows as well."""
        last = {name: i for i, part in enumerate(self.parts) for name in part.attributes}
        return tuple(tuple(n for n in part.attributes if last[n] == i) for i, part in enumerate(self.parts))

    @property
    def layout(self) -> Layout:
        """The units that are taken of each part, then what each has besides: other units, and what it knows of the
        rest."""
        layouts = [part.layout for part in self.parts]
        taken = zip(layouts, self.given, strict=True)
        attributes = tuple(a for layout, given in taken for a in layout.attributes if a.name in given)
        check_attributes(attributes)
        unit = layouts[0].unit_channels
        return Layout(attributes, unit, sum(layout.channels for layout in layouts) - len(attributes) * unit)


_METHODS: dict[str, type[Settings]] = {
    "latent-swap": LatentSwapSettings,
    "stargan": StarGANSettings,
    "dna-gan": DNAGANSettings,
}
METHODS = tuple(_METHODS)


def preset_names() -> list[str]:
    return sorted(
        p.name.removesuffix(".toml") for p in resources.files("traitswap.presets").iterdir() if p.name.endswith(".toml")
    )


def load_settings(
    preset: str,
    overrides: Sequence[str] = (),
    attributes: Mapping[str, Sequence[str]] | None = None,
    method: str | None = None,
) -> Settings:
    """The settings of a preset (a packaged name, or a path to a .toml or .json file) with `key=value` overrides.

    With `method`, `lite` means that method's own preset of this name (`stargan-lite`), and any other method's is
    refused. Raises `TraitswapError` for an unknown preset, key or value. `attributes`, if given, replaces the preset's.
    """
    if method is not None:
        _known_method(method)
        if f"{method}-{preset}" in preset_names():
            preset = f"{method}-{preset}"
    table = _read_table(preset)
    table.setdefault("preset", Path(preset).stem)
    for override in overrides:
        _override(table, override)
    if attributes is not None:
        table["attributes"] = dict(attributes)
    settings = _validated(_known_method(_method_of(table)), table, preset)
    if method not in (None, settings.method.name):
        raise TraitswapError(
            f"the preset {preset} is of the method {settings.method.name}, not {method}; presets of {method}: "
            + ", ".join(name for name in preset_names() if _method_of(_read_table(name)) == method)
        )
    if isinstance(settings, LatentSwapSettings):
        settings.layout.check_budget(settings.network.widths[-1], settings.network.pool_units)
    return settings


def parse_settings(table: Mapping[str, Any], origin: str) -> ModelSettings:
    """Validated settings from a plain table, of the class of its `method.name`; `origin` names it in the error."""
    name = _method_of(table)
    return _validated(JoinedSettings if name == "joined" else _known_method(name), table, origin)


def _method_of(table: Mapping[str, Any]) -> str:
    """Weights that are older than the choice do not name their method."""
    method = table.get("method")
    return str(method.get("name", METHODS[0])) if isinstance(method, Mapping) else METHODS[0]


def _known_method(name: str) -> type[Settings]:
    if name not in _METHODS:
        raise TraitswapError(f"there is no method '{name}'; {nearest(name, METHODS)}")
    return _METHODS[name]


def parse_classifier_settings(table: Mapping[str, Any], origin: str) -> ClassifierSettings:
    """The same for a classifier's."""
    return _validated(ClassifierSettings, table, origin)


def _validated(model: type[_Model], table: Mapping[str, Any], origin: str) -> _Model:
    try:
        return model.model_validate(table)
    except ValidationError as error:
        raise TraitswapError(
            f"settings of {origin}: " + "; ".join(_explain(e, model) for e in error.errors())
        ) from None


def _explain(problem: Any, model: type[BaseModel]) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"there is no setting '{key}'; {nearest(key, _known_keys(model))}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{key}: {message} (got {problem['input']!r})" if key and problem["type"] != "value_error" else message


def _known_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys += _known_keys(kind, f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys


def _read_table(preset: str) -> dict[str, Any]:
    path = Path(preset)
    try:
        if path.suffix == ".toml":
            return tomllib.loads(path.read_text("utf-8"))
        if path.suffix == ".json":
            table = json.loads(path.read_text("utf-8"))
            if not isinstance(table, dict):
                raise TraitswapError(f"{preset} holds no settings; expected sections such as network and train")
            return table
    except OSError as error:
        raise TraitswapError(f"cannot read the preset {preset}: {error.strerror}") from None
    except ValueError as error:
        raise TraitswapError(f"{preset} is not valid {path.suffix[1:].upper()}: {error}") from None
    if preset not in preset_names():
        raise TraitswapError(
            f"there is no preset '{preset}' (nor is it a .toml file); {nearest(preset, preset_names())}"
        )
    return tomllib.loads((resources.files("traitswap.presets") / f"{preset}.toml").read_text("utf-8"))


def _override(table: dict[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    if not equals:
        raise TraitswapError(f"--set {text}: expected key=value, such as train.lr=0.0002")
    known = _known_keys(_known_method(_method_of(table)))
    if key not in known:
        raise TraitswapError(f"there is no setting '{key}'; {nearest(key, known)}")
    *sections, last = key.split(".")
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise TraitswapError(f"the preset's '{section}' is {table!r}; expected a section of settings")
    try:
        table[last] = json.loads(value)
    except ValueError:
        table[last] = value
