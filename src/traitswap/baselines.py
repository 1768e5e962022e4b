"""Settings of the two methods that ours is compared with; the defaults are those of their papers."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from traitswap.attributes import Layout, attributes_from
from traitswap.settings import MethodBase, NetworkBase, Positive, Settings, Weight, Widths


class StarGANNetwork(NetworkBase):
    """Sizes of StarGAN's generator and discriminator (Choi et al., CVPR 2018, tables 4 and 5)."""

    widths: Widths = (64, 128, 256)
    """Generator: channels after the first convolution and after each stride-2 one."""
    blocks: Annotated[int, Field(ge=0)] = 6
    discriminator_widths: Widths = (64, 128, 256, 512, 1024, 2048)
    discriminator_leak: Weight = 0.01
    """Slope of its leaky ReLU below 0."""

    @model_validator(mode="after")
    def _divisible(self) -> "StarGANNetwork":
        self.check_strides(
            ("the stride of network.widths", 2 ** (len(self.widths) - 1)),
            ("the stride of network.discriminator_widths", 2 ** len(self.discriminator_widths)),
        )
        return self


class StarGANMethod(MethodBase):
    name: Literal["stargan"] = "stargan"
    lambda_adv: Weight = 1.0
    lambda_cls: Weight = 1.0
    lambda_rec: Weight = 10.0
    lambda_gp: Weight = 10.0
    critic_updates: Positive = 5
    """Updates of the discriminator, each on fresh images, to one of the generator."""


class DNAGANNetwork(NetworkBase):
    """Sizes of DNA-GAN's encoder, decoder (its mirror) and discriminator (Xiao et al., 2017), as released."""

    widths: Widths = (128, 256, 512)
    """Encoder: channels after each stride-2 convolution; the last is what the pieces are cut from."""
    piece_channels: Positive = 128
    """Channels of an attribute's piece; what the pieces leave describes the rest."""
    discriminator_widths: Widths = (128, 256, 512, 512)

    @model_validator(mode="after")
    def _divisible(self) -> "DNAGANNetwork":
        self.check_strides(
            ("the stride of network.widths", 2 ** len(self.widths)),
            ("the stride of network.discriminator_widths", 2 ** len(self.discriminator_widths)),
        )
        return self


class DNAGANMethod(MethodBase):
    name: Literal["dna-gan"] = "dna-gan"
    lambda_adv: Weight = 1.0
    lambda_rec: Weight = 1.0
    """Of the L1 distance on a scale of 0 … 1."""
    clip: Annotated[float, Field(gt=0)] = 0.01
    """All weights of the discriminator are kept within ± this."""
    critic_every: Positive = 500
    critic_updates: Positive = 100
    """Every `critic_every`-th update of the generator follows so many of the discriminator; each other follows one."""


class StarGANSettings(Settings):
    network: StarGANNetwork
    method: StarGANMethod = StarGANMethod()

    @property
    def layout(self) -> Layout:
        """The embedding is the labels: a channel a column, each unit as wide as the widest; nothing else."""
        attributes = attributes_from(self.attributes)
        return Layout(attributes, max(len(a.columns) for a in attributes), 0)


class DNAGANSettings(Settings):
    network: DNAGANNetwork
    method: DNAGANMethod = DNAGANMethod()

    @model_validator(mode="after")
    def _defined(self) -> "DNAGANSettings":
        for name, columns in self.attributes.items():
            if len(columns) > 1:
                raise ValueError(
                    f"dna-gan knows only attributes that a face has or lacks, of one label column each; {name} has "
                    f"{len(columns)}: give one of them, such as --attribute {columns[0].lower()}={columns[0]}"
                )
        if self.layout.rest_channels <= 0:
            raise ValueError(
                f"{len(self.attributes)} pieces of {self.network.piece_channels} channels leave nothing of the "
                f"{self.network.widths[-1]} for the rest: set network.piece_channels lower"
            )
        if self.train.batch % (2 * len(self.attributes)):
            raise ValueError(
                f"train.batch {self.train.batch} is not a multiple of {2 * len(self.attributes)}: a step takes as many "
                "faces with as without each attribute"
            )
        return self

    @property
    def layout(self) -> Layout:
        attributes = attributes_from(self.attributes)
        piece = self.network.piece_channels
        return Layout(attributes, piece, self.network.widths[-1] - len(attributes) * piece)
