"""What fixes the shape of a world model: the dataclasses that lie beside its weights as YAML."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class AutoencoderConfig:
    """The convolutional autoencoder: latents are (channels, H/8, W/8).

    ``superresolution``: the decoder has a second head, which draws twice as many pixels each way. ``linear``: beside
    the convolutions each cell takes its own pixels linearly, and gives them back.
    """

    channels: int = 16
    encoder_widths: list[int] = field(default_factory=lambda: [32, 64, 128])
    decoder_widths: list[int] = field(default_factory=lambda: [48, 96, 128])
    superresolution: bool = False
    linear: bool = False


@dataclass
class ArVaeConfig:
    """The one-dimensional tokenizer of AR-Diffusion: latents are (tokens, dim), L x D in the paper.

    ``depth`` layers in the encoder and as many in the decoder, whose frames see the tokens of ``window`` frames, their
    own among them. The default is for 64x64; at 128x128 ``size=128 patch=16 dim=16`` costs as much. ``linear``: beside
    the transformers each token takes its own part of the picture linearly, and gives it back.
    """

    size: int = 64
    patch: int = 8
    tokens: int = 32
    dim: int = 8
    width: int = 192
    depth: int = 4
    heads: int = 3
    window: int = 8
    linear: bool = False


@dataclass
class DenoiserConfig:
    """The causal DiT: ``window`` clean frames of short-term context, ``patch`` latents a token each way."""

    width: int = 192
    depth: int = 6
    heads: int = 3
    patch: int = 2
    window: int = 8


@dataclass
class GeneratorConfig:
    """The generator (`denoisers.generator`): ``window`` frames of context, ``patch`` latents a token each way.

    ``stem``: channels of convolutions before and after the transformer, ``stem_blocks`` residual ones each; 0 has none.
    ``context_level`` is the noise level at which frames of its own are shown to it in play, with the noise added: so
    high that what memory shows counts for more than the errors of its last frames. ``strides`` are the step sizes that
    it was trained to take, and is told of.
    """

    width: int = 256
    depth: int = 8
    heads: int = 4
    patch: int = 2
    window: int = 8
    stem: int = 0
    stem_blocks: int = 2
    context_level: float = 0.4
    strides: list[float] = field(default_factory=list)


@dataclass
class MemoryConfig:
    """Joint compression of the past to a budget of latents, and the ray reader over them.

    ``scene_scale`` is the world's unit of position in its own units; ``reads`` is how many remembered
    frames the reader looks at for one new frame.
    """

    width: int = 64
    depth: int = 1
    heads: int = 4
    reads: int = 4
    scene_scale: float = 1.0
    histories: list[int] = field(default_factory=lambda: [8, 16, 48, 112])
    budgets: list[int] = field(default_factory=lambda: [8, 16, 32, 48])


@dataclass
class EditConfig:
    """What is dug and put down in a world made of blocks (:mod:`worldsim.engine.edits`): the places of the two
    keys in a flat action, none where nobody does so; frames between two edits while a key is held; how far they reach,
    and the side of a block, in the world's units."""

    keys: list[int] = field(default_factory=list)
    rest: int = 4
    reach: float = 4.5
    block: float = 1.0


@dataclass
class DreamConfig:
    """What a model and the dream that plays it must agree on, in frames where nothing else is said.

    ``context_level``: the noise level at which past frames are shown to a denoiser, which bears the errors of its own
    frames better so; a generator has one of its own.
    ``refresh``: between two compressions of the memory; ``replayed``: whose keys and values are computed again when the
    past is replaced; ``settled``: newest ones of which none is left out, those that are replayed, looked back on, or
    not compressed yet. Older ones seen from within ``same_place`` units of the scene and ``same_angle`` degrees of the
    one before are left out.
    ``heights``: units of the scene at which a true frame is looked for above and below where it was reckoned, 0 first:
    a step of a block missed is too far for a linear solution.
    ``generated_penalty``: how much farther off, in radians and units of the scene, a view of its own counts than a true
    one where views are chosen to be read: what is looked up in what was looked up fades. A generator's are chosen
    otherwise (:mod:`worldsim.engine.provenance`). ``enlarged``: how many times as large as it drew it a dream is shown
    something of its own at most, 0 for any; ``smears``: whether it is shown what is larger all the same, under a
    mark that says so.
    ``body``: half of the width of who walks in it, what is kept free before it, and the lowest and the highest height
    from the eye at which it does not pass what it sees, in the world's units (:mod:`worldsim.engine.collision`); empty
    where nothing stops it. ``edits``: what is dug and put down in it.
    """

    context_level: float = 0.15
    refresh: int = 8
    replayed: int = 16
    settled: int = 24
    same_place: float = 0.01
    same_angle: float = 0.5
    heights: list[float] = field(default_factory=lambda: [0.0, 0.25, -0.25])
    generated_penalty: float = 0.0
    enlarged: float = 0.0
    smears: bool = False
    body: list[float] = field(default_factory=list)
    edits: EditConfig = field(default_factory=EditConfig)


@dataclass
class ModelConfig:
    """Everything that fixes the shape of a world model.

    A model that is not ``posed`` was trained in a world that tells no pose: to it the camera stands still. One that was
    trained ``free_running``, as before generators, has a second denoiser for a past of its own, which takes over
    after ``handover_after`` frames without a true one: as many as the needle protocol dreams between two corrections,
    or more, since the first one knows better what it remembers. One that ``generates`` has a generator
    (`training.train_generator`) in the place of both.
    ``pixels`` is a memory of pictures (`training.train_pixels`), from which it puts pixels into those that it draws: of
    true ones, and of the first ``recall_horizon`` that it dreams after one. What it makes up beyond that mixes to mud.
    """

    size: int = 64
    fov: float = 70.0
    posed: bool = True
    free_running: bool = False
    handover_after: int = 16
    pixels: bool = False
    recall_horizon: int = 48
    generates: bool = False
    action_dim: int = 20
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    dream: DreamConfig = field(default_factory=DreamConfig)
