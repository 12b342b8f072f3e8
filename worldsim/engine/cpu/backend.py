"""One frame of one dream or of several, by the fast parts: the same phases as :mod:`worldsim.engine.step`."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor

from worldsim.engine.cpu.compressor import Compressor
from worldsim.engine.cpu.dead_reckoning import Reckoner
from worldsim.engine.cpu.decoder import Decoder
from worldsim.engine.cpu.denoiser import Denoiser
from worldsim.engine.cpu.generator import FastGenerator
from worldsim.engine.cpu.kv_ring import Ring
from worldsim.engine.cpu.linear import Dense
from worldsim.engine.cpu.pixel_memory import Pixels
from worldsim.engine.cpu.reader import Reader, View, Viewpoint
from worldsim.engine.cpu.winograd import Conv3x3
from worldsim.engine.evidence import Evidence
from worldsim.engine.generation import generate, remembered, steps_by_novelty
from worldsim.engine.kernels.poses import Pose, motion, relevant, stand
from worldsim.engine.localisation.relocalise import relocalise
from worldsim.engine.localisation.visual_odometry import take_bearings
from worldsim.engine.past import DreamPast
from worldsim.engine.step import Mind, within_the_data
from worldsim.engine.timer import Laps
from worldsim.models.geometry import PITCH_UNIT
from worldsim.models.memory.variants.joint import place_features
from worldsim.models.world_model import WorldModel


class Fast:
    """The parts of one model, shared by its dreams, one of which computes at a time.

    ``products`` may be torch.bfloat16: then the convolutions that make pictures multiply in it, some levels of 255 off;
    latents and all that is remembered of them stay as they are.

    A past that this engine steps has ``views`` and a row of a ring where the plain one has points and a cache.
    """

    def __init__(self, model: WorldModel, products: torch.dtype = torch.float32) -> None:
        self.model, self.scale = model, model.scale
        grid = model.grid
        self.decoder = Decoder(model.autoencoder, grid, products)
        self.reader = Reader(model.reader)
        self.window = model.window
        self.generator: FastGenerator | None = None
        self.denoiser: Denoiser | None = None
        if model.config.generates:
            self.generator = FastGenerator(model.generator, products)
            self.evidence = Evidence(model.config.size, model.config.fov, model.scale)
        else:
            self.denoiser = Denoiser(model.denoiser, model.context_level)
        self.alone = Denoiser(model.alone, model.context_level) if model.config.alone else None
        self.reckoner = Reckoner(model.odometry, grid)
        self.compressor = Compressor(model.compressor)
        net, skip = model.frame_encoder.net, model.frame_encoder.skip
        self.features = Conv3x3.of(net[0], grid), Conv3x3.of(net[2], grid), Dense.of(skip)
        self.features[1].bias += self.features[2].bias  # the skip is added onto it
        self.pixels = Pixels(model.pixels, products) if model.config.pixels else None
        self._lock = threading.Lock()

    def imagine(
        self, minds: list[Mind], led: Tensor, guides: Sequence[Tensor | None]
    ) -> tuple[list[np.ndarray], dict[str, float]]:
        """As :func:`worldsim.engine.step.imagine`."""
        # Sharp attention fills its weights with denormal numbers, which cost this processor ten times as much.
        torch.set_flush_denormal(True)
        with self._lock:
            return self._imagine(minds, led, guides)

    def _imagine(
        self, minds: list[Mind], led: Tensor, guides: Sequence[Tensor | None]
    ) -> tuple[list[np.ndarray], dict[str, float]]:
        lap = Laps()
        pasts = [mind.past for mind in minds]
        index = pasts[0].count
        for mind in minds:
            if mind.past.changes_hands:
                self._replay(mind.past)
            self._refresh(mind)
        lap("compress")
        newest = torch.stack([past.latents[-1] for past in pasts]).permute(0, 2, 3, 1)  # (B, h, w, C)
        poses, moved = self.reckoner(newest, pasts, led)
        for i, guide in enumerate(guides):
            if guide is not None:
                poses[i] = guide.tolist()
                moved[i] = motion(pasts[i].poses[-1].tolist(), poses[i], self.scale)
        lap("odometry")
        seen = [self._chosen(mind, pose) for mind, pose in zip(minds, poses, strict=True)]
        steered = [[*move, pose[4] / PITCH_UNIT] for move, pose in zip(moved, poses, strict=True)]
        now = torch.cat([led.expand(len(minds), -1), torch.tensor(steered)], 1)
        before = torch.stack([self._steered(past) for past in pasts])
        if self.generator is not None:
            cells = self._generated(minds, seen, poses, (before, now), lap)
        else:
            cells = self._denoised(minds, seen, poses, (before, now), newest, lap)
        cells = within_the_data(cells)
        frames = self.decoder(cells)
        lap("decode")
        latents = cells.permute(0, 3, 1, 2).contiguous()
        distances: Tensor | list[None] = [None] * len(minds)
        if self.pixels is not None:
            own = self.model.config.own_pixels
            rows = zip(pasts, seen, strict=True)
            sources = [[v.index for v in row if past.recallable(v.index, own)] for past, row in rows]
            frames, distances = self.pixels(pasts, sources, latents, poses, frames)
            lap("pixels")
        features = self._features(cells)
        views = self._views(features, poses, [index] * len(minds))
        for i, mind in enumerate(minds):
            pose, distance = torch.tensor(poses[i]), distances[i]
            mind.past.append(latents[i], features[i], self._points(views[i]), led, pose, frames[i], distance)
            mind.past.views.append(views[i])
            del mind.past.views[: -mind.past.keep]
            mind.past.settle(self.scale)
            mind.past.steered = now[i]
            mind.age += 1
        lap("keep")
        return frames, lap.ms

    def _generated(
        self,
        minds: list[Mind],
        seen: list[list[Viewpoint]],
        poses: list[list[float]],
        controls: tuple[Tensor, Tensor],
        lap: Laps,
    ) -> Tensor:
        """Cells (B, h, w, C) of the next frames, by the generator."""
        assert self.generator is not None and self.pixels is not None
        pasts, config = [mind.past for mind in minds], self.model.config.generator
        evidence = [
            remembered(self.evidence, past, [view.index for view in row], pose, self.pixels.measure)
            for past, row, pose in zip(pasts, seen, poses, strict=True)
        ]
        lap("read")
        steps = [steps_by_novelty(e, mind.steps) for e, mind in zip(evidence, minds, strict=True)]
        randoms, spacing = [mind.random for mind in minds], minds[0].spacing
        latents = generate(
            self.generator,
            pasts,
            randoms,
            controls,
            evidence,
            steps,
            spacing,
            config.strides,
            self.model.context_level,
        )
        for past, e in zip(pasts, evidence, strict=True):
            past.evidence = e
        lap("denoise")
        return latents.permute(0, 2, 3, 1).contiguous()

    def _denoised(
        self,
        minds: list[Mind],
        seen: list[list[Viewpoint]],
        poses: list[list[float]],
        controls: tuple[Tensor, Tensor],
        newest: Tensor,
        lap: Laps,
    ) -> Tensor:
        """Cells (B, h, w, C) of the next frames, by the denoisers."""
        pasts, denoiser = [mind.past for mind in minds], self._denoiser(minds[0].past)
        index = pasts[0].count
        read = self.reader(cast(list[list[View]], seen), poses, index)
        lap("read")
        noise = torch.cat(
            [torch.randn(1, *mind.past.latents[-1].shape, generator=mind.random) for mind in minds]
        )
        of_cells, channels = denoiser.patches_of_cells, denoiser.channels
        patches = denoiser(
            of_cells(newest),
            denoiser.patches(noise),
            of_cells(read[..., :channels]),
            of_cells(read),
            torch.stack(controls, 1),
            Ring.of(pasts),
            index,
            minds[0].steps,
            minds[0].spacing,
            lap,
        )
        return denoiser.cells(patches)

    def reckon(self, past: DreamPast) -> None:
        """As :meth:`worldsim.engine.past.DreamPast.reckon`."""
        with self._lock:
            cells = torch.stack(past.latents[len(past.poses) - 1 :]).permute(0, 2, 3, 1)
            self.reckoner.along(cells, past)

    def relocalise(self, past: DreamPast, newest: int, history: int) -> Tensor:
        """As :func:`worldsim.engine.localisation.relocalise.relocalise`."""
        stop = max(0, len(past) - newest)
        views = past.views[min(max(0, len(past) - history), stop) : stop]
        stands = [view.stand for view in views]
        count, index = min(self.model.config.memory.reads, len(views)), past.count - 1

        def draw(poses: Tensor) -> Tensor:
            at = poses.tolist()
            chosen = [[views[i] for i in relevant(stands, stand(p, self.scale), count)] for p in at]
            return self.reader(chosen, at, index)[..., : self.reader.channels].permute(0, 3, 1, 2)

        remembered = past.older_than(newest, history)
        with self._lock:
            return relocalise(self.model, remembered, past.latents[-1], past.poses[-1], index, draw)

    def take_bearings(self, past: DreamPast, first: int, history: int) -> None:
        """As :func:`worldsim.engine.localisation.visual_odometry.take_bearings`."""
        assert self.pixels is not None
        with self._lock:
            take_bearings(self.model, past, first, history, self.pixels.measure)

    def replay(self, past: DreamPast) -> None:
        """As :meth:`worldsim.engine.past.DreamPast.replay`."""
        torch.set_flush_denormal(True)
        with self._lock:
            self._replay(past)

    def _replay(self, past: DreamPast) -> None:
        first = max(0, len(past) - past.config.replayed)
        cells = torch.stack(past.latents[first:]).permute(0, 2, 3, 1)
        past.features[first:] = list(self._features(cells))
        self._show(past, first)
        control = past.control(self.model, first)[0, :-1]
        oldest = past.count - len(cells)
        if self.generator is not None:
            ring = self.generator.commit(torch.stack(past.latents[first:])[:-1], control, oldest)
        else:
            denoiser = self._denoiser(past)
            ring = denoiser.commit(denoiser.patches_of_cells(cells[:-1]), control, oldest)
        past.ring, past.evidence = (ring, 0), None
        past.steered, past.pending, past.by_second = None, True, past.left_alone

    def _denoiser(self, past: DreamPast) -> Denoiser:
        """As :meth:`worldsim.engine.past.DreamPast.denoiser`."""
        denoiser = self.alone if self.alone is not None and past.left_alone else self.denoiser
        assert denoiser is not None
        return denoiser

    def encode_features(self, past: DreamPast) -> None:
        """As :meth:`worldsim.engine.past.DreamPast.encode_features`."""
        past.features = list(self._features(torch.stack(past.latents).permute(0, 2, 3, 1)))
        self._show(past, 0)

    def _show(self, past: DreamPast, first: int) -> None:
        """Make the frames from ``first`` on ready to be read."""
        indices = past.indices[first:]
        poses = [pose.tolist() for pose in past.poses[first:]]
        past.views[first:] = self._views(torch.stack(past.features[first:]), poses, indices)
        past.points[first:] = [self._points(view) for view in past.views[first:]]

    def prepare(self, mind: Mind) -> None:
        """As :meth:`worldsim.engine.step.Mind.refresh`."""
        torch.set_flush_denormal(True)
        with self._lock:
            self._refresh(mind)

    def _refresh(self, mind: Mind) -> None:
        """Compress what lies behind the short window, where it is time."""
        if not mind.stale and mind.age < mind.past.config.refresh:
            return
        mind.age, mind.stale = 0, False
        past, n = mind.past, len(mind.past)
        stop = max(0, n - self.window)
        part = slice(min(max(0, n - mind.history), stop), stop)
        candidates = past.views[part]
        mind.memory = []
        if not candidates:
            return
        now = past.poses[-1]
        stands = [view.stand for view in candidates]
        best = relevant(stands, stand(now.tolist(), self.scale), min(mind.budget, len(candidates)))
        kept = [candidates[i] for i in best]
        if self.generator is not None:  # it remembers pictures
            mind.memory = kept
            return
        ages = torch.tensor([past.count - view.index for view in candidates], dtype=torch.float32)
        places = place_features(torch.stack(past.poses[part])[None], now[None], ages[None], self.scale)[0]
        features = self.compressor(past.features[part], torch.stack(past.led[part]), places, best)
        mind.memory = self.reader.show(features, [view.pose for view in kept], [view.index for view in kept])

    def _chosen(self, mind: Mind, pose: Sequence[float]) -> list[Viewpoint]:
        """The views that are read for a frame at ``pose``."""
        memory = mind.memory
        assert isinstance(memory, list)
        # Frames that left the short window since the last compression are not in the memory yet.
        recent = min(mind.history, self.window + mind.age)
        views: list[Viewpoint] = memory + mind.past.views[-recent:]
        count = min(self.model.config.memory.reads, len(views))
        best = relevant([view.stand for view in views], stand(pose, self.scale), count)
        return [views[i] for i in best]

    def _features(self, cells: Tensor) -> Tensor:
        """:class:`worldsim.models.memory.rays.reader.FrameEncoder`: cells (B, h, w, C) to (B, S, width)."""
        if self.generator is not None:  # nobody reads them
            return cells.new_zeros(len(cells), 0)
        first, second, skip = self.features
        y = second(first(cells), silu=True)
        return skip(cells.reshape(-1, cells.shape[-1]), y.flatten(0, 2)).view(len(cells), -1, y.shape[-1])

    def _views(self, features: Tensor, poses: Sequence[Pose], indices: Sequence[int]) -> Sequence[Viewpoint]:
        """Frames as they are remembered: ready to be read, or, for a generator, where they were seen from."""
        if self.generator is None:
            return self.reader.show(features, poses, indices)
        return [Viewpoint(p, stand(p, self.scale), i) for p, i in zip(poses, indices, strict=True)]

    def _points(self, view: Viewpoint) -> Tensor:
        return view.points if isinstance(view, View) else torch.zeros(0, 3)

    def _steered(self, past: DreamPast) -> Tensor:
        """What steered the newest frame (A + 6,)."""
        if past.steered is None:
            past.steered = past.control(self.model, len(past) - 1)[0, 0]
        return past.steered
