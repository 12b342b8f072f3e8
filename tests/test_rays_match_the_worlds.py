"""The memory's rays are the rays the worlds draw with: turning the camera moves pixels where geometry says."""

import gymnasium
import numpy as np
import pytest
import torch

import envs  # noqa: F401
from worldsim.models.geometry import cell_rays, rotation

SIZE = 64


def _carried(
    frame: np.ndarray, before: torch.Tensor, after: torch.Tensor, fov: float
) -> tuple[np.ndarray, np.ndarray]:
    """What the first frame says of the second view, for a camera that only turned; and where it says anything."""
    rays = cell_rays(SIZE, SIZE, fov)
    world = rays @ rotation(after).T
    seen = world @ rotation(before)
    reach = np.tan(np.radians(fov) / 2)
    column = ((seen[:, 0] / seen[:, 2] / reach + 1) / 2 * SIZE).floor().long()
    row = ((1 - seen[:, 1] / seen[:, 2] / reach) / 2 * SIZE).floor().long()
    inside = (seen[:, 2] > 0) & (column >= 0) & (column < SIZE) & (row >= 0) & (row < SIZE)
    picture = frame[row.clamp(0, SIZE - 1), column.clamp(0, SIZE - 1)]
    return picture.reshape(SIZE, SIZE, 3), inside.reshape(SIZE, SIZE).numpy()


@pytest.mark.parametrize("name", ["worldsim/Blocks-v0", "worldsim/LabMaze-v0"])
@pytest.mark.parametrize("turn", [(25.0, 0.0), (-40.0, 0.0), (0.0, 18.0), (20.0, -12.0)])
def test_turning_the_camera_moves_pixels_along_the_rays(name: str, turn: tuple[float, float]) -> None:
    env = gymnasium.make(name, size=SIZE)
    _, info = env.reset(seed=3)
    world = env.unwrapped
    pose = np.array(info["pose"])
    first = world.teleport(pose)["pov"]  # type: ignore[attr-defined]
    turned = pose + np.array([0, 0, 0, *turn])
    second = world.teleport(turned)["pov"]  # type: ignore[attr-defined]
    before, after = (torch.tensor(p, dtype=torch.float32) for p in (pose, turned))

    def error(after: torch.Tensor) -> float:
        guess, inside = _carried(first, before, after, world.fov)  # type: ignore[attr-defined]
        assert inside.mean() > 0.3
        return float(np.abs(guess[inside].astype(int) - second[inside].astype(int)).mean())

    right = error(after)
    # The same comparison with the turn mirrored, or not made at all, must be clearly worse.
    mirrored = before - (after - before)
    assert right < 0.5 * error(mirrored)
    assert right < 0.5 * error(before)
    env.close()
