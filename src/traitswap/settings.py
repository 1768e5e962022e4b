"""What the settings of all methods share."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from traitswap.attributes import Layout

Positive = Annotated[int, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Widths = Annotated[tuple[Positive, ...], Field(min_length=1)]
"""Channels, layer by layer."""


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NetworkBase(Frozen):
    size: Positive
    """Height and width of a face, pixels."""

    def check_strides(self, *strides: tuple[str, int]) -> None:
        """Raises `ValueError` unless the size is a multiple of each stride, given with its name."""
        for what, stride in strides:
            if self.size % stride:
                raise ValueError(f"size {self.size} is not a multiple of {stride}, {what}")


class MethodBase(Frozen):
    name: str


class ClassifierSettings(Frozen):
    """A small attribute classifier, trained before the run."""

    size: Positive = 64
    width: Positive = 16
    images: Positive = 200_000
    """Training images to see, repeats counted."""
    batch: Positive = 64
    lr: Annotated[float, Field(gt=0)] = 2e-3
    noise_grains: tuple[Positive, ...] = (1,)
    """Sizes, in pixels, of the grains of the noise through which it sees faces, in training and when it guides."""
    attack: Weight = 0.0
    """L2 radius (pixels in −1 … 1, at `size`) within which every training face is changed for the worst before it is
    learnt from. The gradient of such a classifier points at what people see (Santurkar et al., 2019)."""

    @model_validator(mode="after")
    def _grains_fit(self) -> "ClassifierSettings":
        for grain in self.noise_grains:
            if self.size % grain:
                raise ValueError(f"classifier.size {self.size} is not a multiple of {grain}, one of noise_grains")
        return self


class DataSettings(Frozen):
    partition: Literal["official", "random"] = "official"
    test_count: Positive = 2000
    drawn_count: Positive = 6000
    """How many faces `--data drawn` draws."""


class TrainSettings(Frozen):
    batch: Annotated[int, Field(ge=2, multiple_of=2)] = 16
    """Images a step; the first half is paired with the second."""
    images: Positive = 3_200_000
    """Images to see in all: iterations × batch."""
    optimizer: Literal["adam", "rmsprop"] = "adam"
    lr: Annotated[float, Field(gt=0)] = 1e-4
    lr_decay: Share = 0.0
    """Share of the run, at its end, in which the learning rate falls to 0 in a straight line."""
    betas: tuple[Beta, Beta] = (0.5, 0.999)
    """Adam's."""
    alpha: Beta = 0.99
    """RMSProp's."""
    flip: bool = True
    ema_images: Positive = 10_000
    """Half-life of the averaged weights, in images."""
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    """auto: bf16 where the processor computes in it, else 32-bit."""
    graphs: bool = False
    """On a single GPU, record each kind of step once and play it back (CUDA graphs). Not tried on a GPU yet."""
    seed: Annotated[int, Field(ge=0)] = 0
    report_images: Positive = 1_600
    save_images: Positive = 16_000
    sample_images: Positive = 16_000
    keep_weights: bool = False
    """The weights of every grid of samples are kept, not only the newest: the best to look at may not be the last."""
    health_pairs: Positive = 128
    statistics_images: Positive = 1_280
    """Images from which the batch-normalization statistics of the use path are taken."""


class ModelSettings(Frozen):
    """What a model is, whatever it was trained with: all that its use and its evaluation need."""

    preset: str
    attributes: dict[str, tuple[str, ...]]
    network: NetworkBase
    method: MethodBase
    data: DataSettings = DataSettings()

    @property
    def layout(self) -> Layout:
        """The attributes, and how the method's embedding is cut into their units."""
        raise NotImplementedError


class Settings(ModelSettings):
    """Everything that determines a training run besides the data's place and the machine: what all methods share."""

    train: TrainSettings = TrainSettings()
    classifier: ClassifierSettings = ClassifierSettings()

    @model_validator(mode="after")
    def _classifier_fits(self) -> "Settings":
        if self.network.size % self.classifier.size:
            raise ValueError(f"size {self.network.size} is not a multiple of classifier.size {self.classifier.size}")
        return self
