"""Diffusion forcing of a video model for every method and every memory: what one step of training draws and minimises.

A step is of one kind. ``prepend``: a whole stretch of frames, in which clean ones and windows at the levels of some
method take turns, and every frame is a target: no frame sees a later one, so each of them is a window's after all that
lies before it. The others show a past of any length, compressed to any budget or not, to one window, by the way of
memory that they name. So history, budget, window and schedule are dials of one set of weights.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.data.sequences import Sequence
from training.objectives import redraws
from training.objectives.generation import blurred
from training.objectives.loss_weights import clip_noise, fused_snr
from training.objectives.noise_levels import PATTERNS, LevelsConfig, draw_levels
from worldsim.diffusion.process import corrupt, per_frame, to_x0
from worldsim.models.denoisers.forcing_dit import ForcingDiT
from worldsim.models.memory.variants.protocol import References
from worldsim.models.video_model import VideoModel

KINDS = ("sequence", "prepend", "channel", "cross_attention")
"""What a step is of: a stretch without compression, or a window after a past that meets it by this way."""


@dataclass
class ForcingConfig:
    """``frames`` that the network sees in a step at most; odds of the kinds of step, of ``lengths`` of a sequence, of
    histories and of budgets. ``thinned``: share of the sequences that reach over one of ``spans`` frames, of whose past
    all but some are left out, so that ``kept`` are seen: far looks at the price of near ones. ``compressed``: how often
    the past of channel concatenation is. ``start``: share of sequences that begin with noise, without a past; ``long``:
    share of those that do not, whose first noise comes after a clean stretch of any length. ``context``: highest level
    of clean frames, most of which have nearly none, and ``soft``: share of rows whose clean frames are blurred, as a
    model's own are. ``redrawn``: share of the sequences whose clean frames the model draws itself after the first few,
    ``redraws`` times over at most (:mod:`training.objectives.redraws`); the truth is asked for. The weight of
    an error is the paper's fused SNR with ``decay`` and ``cap``, noise is clipped at ``noise_clip``."""

    frames: int = 256
    odds: list[float] = field(default_factory=lambda: [0.6, 0.15, 0.2, 0.05])
    lengths: list[int] = field(default_factory=lambda: [32, 64, 128])
    length_odds: list[float] = field(default_factory=lambda: [0.4, 0.3, 0.3])
    thinned: float = 0.5
    spans: list[int] = field(default_factory=lambda: [80, 128, 192])
    kept: int = 48
    window: int = 16
    histories: list[int] = field(default_factory=lambda: [16, 48, 112])
    history_odds: list[float] = field(default_factory=lambda: [0.25, 0.4, 0.35])
    budgets: list[int] = field(default_factory=lambda: [8, 16, 32, 48])
    budget_odds: list[float] = field(default_factory=lambda: [0.25, 0.4, 0.2, 0.15])
    compressed: float = 0.5
    start: float = 0.1
    long: float = 0.5
    context: float = 0.2
    soft: float = 0.3
    redrawn: float = 0.0
    redraws: int = 2
    decay: float = 0.96
    cap: float = 5.0
    noise_clip: float = 6.0
    levels: LevelsConfig = field(default_factory=LevelsConfig)

    def __post_init__(self) -> None:
        redraws.check(self.redrawn, self.redraws)


@dataclass
class Setting:
    """What all rows of a step share: its kind, batch and frames, of a memory its history and budget, 0 for none, and
    how many frames of a thinned sequence are ``kept``, the ``last`` of them without a gap; and how many times its
    clean frames are drawn anew, ``redraws``."""

    kind: str
    batch: int
    length: int
    history: int = 0
    budget: int = 0
    kept: int = 0
    last: int = 0
    redraws: int = 0


def draw_setting(config: ForcingConfig, kinds: tuple[str, ...], seed: int, step: int) -> Setting:
    """The setting of a step, the same in every process, among the kinds that a model can be trained on."""
    rng = np.random.default_rng((seed, step, 2))
    odds = np.array([odd if kind in kinds else 0.0 for kind, odd in zip(KINDS, config.odds, strict=True)])
    kind = str(rng.choice(KINDS, p=odds / odds.sum()))
    if kind == "sequence":
        return _sequence_setting(config, rng)
    history = int(rng.choice(config.histories, p=config.history_odds))
    budget = min(history, int(rng.choice(config.budgets, p=config.budget_odds)))
    if kind == "cross_attention" or (kind == "channel" and rng.random() >= config.compressed):
        budget = 0
    on_axis = config.window + (
        budget if kind == "prepend" else 4
    )  # a past outside of the axis costs something too
    return Setting(kind, max(1, config.frames // on_axis), history + config.window, history, budget)


def _sequence_setting(config: ForcingConfig, rng: np.random.Generator) -> Setting:
    if config.thinned and rng.random() < config.thinned:
        last, batch = min(config.window * 3 // 2, config.kept), max(1, config.frames // config.kept)
        setting = Setting("sequence", batch, int(rng.choice(config.spans)), kept=config.kept, last=last)
    else:
        length = int(rng.choice(config.lengths, p=config.length_odds))
        setting = Setting("sequence", max(1, config.frames // length), length)
    if rng.random() < config.redrawn:
        setting.redraws = int(rng.integers(1, config.redraws + 1))
    return setting


@dataclass
class Draw:
    """Random numbers of a batch: noise (B, T, C, h, w), level (B, T), which frames are clean context (B, T), and how
    much of each of those is blurred, soft (B, T); N redraws begin at levels start (N, B, T), 0 of frames that stay
    true, with other noise (N, B, T, C, h, w)."""

    noise: Tensor
    level: Tensor
    context: Tensor
    soft: Tensor
    start: Tensor
    other: Tensor

    def to(self, device: torch.device) -> Draw:
        """Every tensor on the device."""
        return Draw(*(x.to(device) for x in vars(self).values()))


def draw(
    config: ForcingConfig, setting: Setting, shape: torch.Size, seed: int, step: int, process: int
) -> Draw:
    """The random numbers of a step for latents (B, T, C, h, w)."""
    b, length = shape[:2]
    rng = np.random.default_rng((seed, step, 3, process))
    level = np.empty((b, length), np.float32)
    context = np.zeros((b, length), bool)
    for row in range(b):
        context[row] = _contexts(config, setting, rng)
        level[row] = _levels(config, context[row], rng)
    soft = (rng.random((b, 1)) < config.soft) * rng.random((b, length)) * context
    g = torch.Generator().manual_seed(int(rng.integers(2**62)))
    noise = clip_noise(torch.randn(shape, generator=g), config.noise_clip)
    start = np.zeros((setting.redraws, b, length), np.float32)
    if setting.redraws:
        soft *= 0  # what is drawn anew has errors enough
        start += redraws.STEP * rng.integers(1, redraws.STEPS + 1, (setting.redraws, b, 1))
        stay = rng.integers(length - config.window + 1, size=b)
        start *= np.arange(length) >= stay[:, None]
    other = torch.randn((setting.redraws, *shape), generator=g)
    rows = [torch.from_numpy(x) for x in (level, context, soft.astype(np.float32), start)]
    return Draw(noise, rows[0], rows[1], rows[2], rows[3], other)


def _contexts(config: ForcingConfig, setting: Setting, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which frames of a row are clean."""
    length, window = setting.kept or setting.length, config.window
    clean = np.zeros(length, bool)
    if setting.history:
        clean[: setting.history] = True
        return clean
    if setting.kept:  # what comes after a gap is not asked for
        first = length - setting.last + int(rng.integers(setting.last - window + 1))
    elif rng.random() < config.start:
        first = 0
    else:
        most = length - window if rng.random() < config.long else window
        first = int(rng.integers(1, most + 1))
    at, run = 0, first
    while at < length:
        clean[at : at + run] = True
        at += run + (window if rng.random() < 0.6 else int(rng.integers(1, window)))
        run = int(rng.integers(1, window // 2 + 1))
    return clean


def _levels(
    config: ForcingConfig, context: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Levels of a row: clean ones nearly 0, each window by a pattern of its own."""
    level = (config.context * rng.random(len(context)) ** 2).astype(np.float32)
    odds = np.array([getattr(config.levels, name) for name in PATTERNS])
    edges = np.flatnonzero(np.diff(np.concatenate([[True], context, [True]]).astype(np.int8)))
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        pattern = str(rng.choice(PATTERNS, p=odds / odds.sum()))
        # A window that the row's end or the next clean frame cuts off is the beginning of a whole one.
        w = max(config.window, end - begin)
        first, each = torch.from_numpy(rng.random((1, 3))), torch.from_numpy(rng.random((1, w)))
        level[begin:end] = draw_levels(pattern, first.float(), each.float())[0, : end - begin].numpy()
    return level


class Forcing(nn.Module):
    """A video model with its loss; ``forward`` is what a distributed launcher wraps."""

    def __init__(self, model: VideoModel, config: ForcingConfig) -> None:
        super().__init__()
        self.model, self.config = model, config

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of step that the model can be trained on: not every denoiser can be asked for all frames of a
        stretch at once, none of which may see a later one."""
        memories = {m.way: m.compressor for m in self.model.config.memories}
        without = {"prepend"} if memories.get("prepend") == "none" else set()
        asked_at_once = "prepend" in memories and isinstance(self.model.denoiser, ForcingDiT)
        some = ["sequence"] if asked_at_once else []
        return (*some, *(k for k in KINDS[1:] if k in memories and k not in without))

    def forward(self, sequence: Sequence, setting: Setting, d: Draw) -> dict[str, Tensor]:
        """The loss of one batch, and by its kind the mean squared error of what is put out at levels above 0.5."""
        m, c, z0 = self.model, self.config, sequence.latents
        actions = m.normalise(sequence.actions)
        shown = torch.lerp(z0, blurred(z0), per_frame(d.soft, z0))
        if setting.redraws:
            drawn = self._drawn_anew(sequence, actions, d)
            shown = torch.where(per_frame(d.context, z0), drawn, z0)
        z = corrupt(m.process, shown, d.noise, d.level)
        h = setting.history
        if setting.kind == "sequence":
            raw = self._sequence(z, d.level, d.context, actions, sequence.kept)
        else:
            travel = m.past_travel(actions[:, :h]) if m.travels else None
            past = References(z[:, :h], actions[:, :h], d.level[:, :h], d.context[:, :h], travel)
            past = m.compress(past, setting.budget, setting.kind)
            raw = m(z[:, h:], d.level[:, h:], actions[:, h:], past, setting.kind)
        raw, level, x0 = raw.float(), d.level[:, h:], z0[:, h:]
        kind = m.config.prediction
        weight = fused_snr(m.process, d.level.clamp_min(1e-3), kind, c.cap, c.decay)[:, h:]
        spoilt = (d.soft > 0) | ((d.start > 0).any(0) & d.context)
        weight = torch.where(spoilt[:, h:], 0.2 * weight, weight)  # what is lost nobody asks back
        error = (raw - self._target(x0, d.noise[:, h:], level)).square().mean((2, 3, 4))
        high = level > 0.5
        at_noise = error.detach()[high].mean() if bool(high.any()) else error.detach().mean()
        return {"loss": (weight * error).mean(), setting.kind: at_noise}

    def _drawn_anew(self, sequence: Sequence, actions: Tensor, d: Draw) -> Tensor:
        """The latents of a sequence as the model draws them from themselves, one time after the other."""
        m, z = self.model, sequence.latents

        def clean_of(now: Tensor, level: Tensor) -> Tensor:
            raw = self._sequence(now, level, level == 0, actions, sequence.kept)
            return to_x0(m.process, raw.float(), now, level, m.config.prediction)

        for start, noise in zip(d.start, d.other, strict=True):
            z = redraws.drawn_anew(m.process, clean_of, z, start, noise)
        return z

    def _sequence(
        self, z: Tensor, level: Tensor, context: Tensor, actions: Tensor, kept: Tensor | None
    ) -> Tensor:
        """Every frame of a stretch at once, or the kept ones, its clean frames controlled as prepended ones are."""
        m = self.model
        way = m.memory("prepend")[0]
        extra = {"travel": m.travel(actions)} if m.travels else {}
        if kept is not None:
            extra = {name: _taken(value, kept) for name, value in extra.items()} | {"times": kept}
            actions = _taken(actions, kept)
        control = torch.where(context[..., None], way.norm(actions), actions)  # type: ignore[attr-defined]
        out: Tensor = m.denoiser(z, level, control, **extra)
        return out

    def _target(self, x0: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        kind = self.model.config.prediction
        if kind == "x0":
            return x0
        if kind == "eps":
            return noise
        a, b = self.model.process.velocity(per_frame(level, x0))
        return a * noise - b * x0


def _taken(values: Tensor, kept: Tensor) -> Tensor:
    """The rows (B, T, A) of values (B, N, A) that are kept."""
    return values.gather(1, kept[..., None].expand(-1, -1, values.shape[-1]))
