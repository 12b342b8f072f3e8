"""A maze painted: the arrays that the kernels read."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from envs.labmaze import decals, textures
from envs.labmaze.maze import NO_DECAL, SIDES, SIZE, Maze

SKY, FLOOR, WALL, DECAL = 0, 1000, 2000, 3000  # what an id picture holds: the kind plus the index of which
SIDE_LIGHT = (0.84, 0.84, 1.0, 1.0)  # walls across x are darker, so that corners show


@dataclasses.dataclass(frozen=True)
class Scene:
    """A maze as the kernels read it: flat packed ripmaps (sheets), and flat tables of indices into them."""

    wall: NDArray[np.bool_]  # (9, 9)
    sheets: NDArray[np.int64]  # (N * 256 * 256,)
    sheet_id: NDArray[np.int32]  # (N,): id of the floor or wall texture on the sheet
    sheet_decal: NDArray[np.int64]  # (N,): row of masks, or NO_DECAL
    decal_id: NDArray[np.int32]  # (M,)
    masks: NDArray[np.bool_]  # (M, 128, 128)
    floor_sheet: NDArray[np.int64]  # (9 * 9,)
    face_sheet: NDArray[np.int64]  # (9 * 9 * 4,)
    sky: NDArray[np.int64]  # (5 * 64 * 64,)


def paint(maze: Maze) -> Scene:
    """Paint a maze: one sheet per floor, per wall and light, and per decal in its place."""
    sheets = [textures.floor_sheet(k) for k in maze.floor_texture]
    ids = [FLOOR + k for k in maze.floor_texture]
    hung = [NO_DECAL] * len(sheets)
    masks: list[NDArray[np.bool_]] = []
    decal_ids: list[int] = []
    plain: dict[tuple[int, float], int] = {}
    face_sheet = np.zeros((SIZE, SIZE, len(SIDES)), np.int64)
    for z, x in np.argwhere(~maze.wall):
        for side, (dx, dz) in enumerate(SIDES):
            if not maze.wall[z + dz, x + dx]:
                continue
            which, light = maze.wall_texture[maze.quadrant[z, x]], SIDE_LIGHT[side]
            design = int(maze.decal[z, x, side])
            if design == NO_DECAL and (which, light) in plain:
                face_sheet[z, x, side] = plain[which, light]
                continue
            face_sheet[z, x, side] = len(sheets)
            ids.append(WALL + which)
            if design == NO_DECAL:
                plain[which, light] = len(sheets)
                sheets.append(textures.wall_sheet(which, light))
                hung.append(NO_DECAL)
            else:
                sheets.append(textures.ripmap(decals.paint(textures.wall(which), design), light))
                hung.append(len(masks))
                masks.append(decals.mask(design))
                decal_ids.append(DECAL + design)
    return Scene(
        wall=maze.wall,
        sheets=np.concatenate([sheet.reshape(-1) for sheet in sheets]),
        sheet_id=np.array(ids, np.int32),
        sheet_decal=np.array(hung, np.int64),
        decal_id=np.array(decal_ids, np.int32),
        masks=np.array(masks, np.bool_).reshape(len(masks), textures.SIDE, textures.SIDE),
        floor_sheet=maze.quadrant.reshape(-1),
        face_sheet=face_sheet.reshape(-1),
        sky=textures.sky(maze.sky).reshape(-1),
    )
