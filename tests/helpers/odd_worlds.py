"""Gymnasium worlds as other people make them: gym:tests.helpers.odd_worlds:NAME-v0."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

BYTES = spaces.Box(0, 255, (96, 96, 3), np.uint8)


def bright(t: int, height: int = 96, width: int = 96) -> np.ndarray:
    """A bright picture that changes a little with time."""
    y, x = np.mgrid[:height, :width]
    red, green = 200 + 50 * np.sin((x + 3 * t) / 9), 200 + 50 * np.cos(y / 7)
    picture = np.stack([red, green, np.full((height, width), 220.0)], -1)
    return picture.astype(np.uint8)


class Base(gymnasium.Env[Any, Any]):
    """Renders a bright picture and observes four zeros."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    observation_space: spaces.Space[Any] = spaces.Box(-1.0, 1.0, (4,), np.float32)
    action_space: spaces.Space[Any] = spaces.Discrete(4)
    lasts = 1000

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.told: list[Any] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.begun = self.t = int(self.np_random.integers(50))
        return self.seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.told.append(action)
        self.t += 1
        return self.seen(), 0.0, self.t - self.begun >= self.lasts, False, {}

    def seen(self) -> Any:
        return np.zeros(4, np.float32)

    def render(self) -> Any:
        return self.shown() if self.render_mode == "rgb_array" else None

    def shown(self) -> Any:
        return bright(self.t)


class Unrendered(Base):
    """Says that it renders nothing; what it observes is all there is."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}  # type: ignore[misc]


class GridCode(Base):
    observation_space = spaces.Dict(
        {"direction": spaces.Discrete(4), "image": spaces.Box(0, 255, (7, 7, 3), np.uint8)}
    )

    def seen(self) -> Any:
        return {"direction": 0, "image": np.full((7, 7, 3), 1 + self.t % 3, np.uint8)}


class BlindGridCode(GridCode, Unrendered):
    pass


class Board(Base):
    observation_space = spaces.Box(0, 12, (8, 8), np.uint8)

    def seen(self) -> Any:
        return np.full((8, 8), self.t % 12, np.uint8)


class DepthBeforeColour(Unrendered):
    observation_space = spaces.Dict(
        {
            "a_depth": spaces.Box(0, 255, (128, 128, 3), np.uint8),
            "b": spaces.Dict({"rgb": BYTES}),
            "grey": spaces.Box(0, 255, (96, 96), np.uint8),
        }
    )

    def seen(self) -> Any:
        return {
            "a_depth": np.full((128, 128, 3), 40, np.uint8),
            "b": {"rgb": bright(self.t)},
            "grey": np.full((96, 96), 90, np.uint8),
        }


class OldReset(Base):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:  # type: ignore[override]
        return super().reset(seed=seed)[0]


class OldestReset(Base):
    def reset(self) -> Any:  # type: ignore[override]
        return super().reset()[0]


class OldStep(Base):
    def step(self, action: Any) -> Any:  # type: ignore[override]
        return (*super().step(action)[:3], {})


class BuggyStep(Base):
    def step(self, action: Any) -> Any:
        return np.zeros(3).reshape(2, 2)


class BuggyReset(Base):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return {}["no such thing"]


class NoReward(Base):
    def step(self, action: Any) -> Any:
        observation, _, *others = super().step(action)
        return (observation, None, *others)


class Batch(Base):
    def step(self, action: Any) -> Any:
        observation, _, terminated, truncated, info = super().step(action)
        return observation, np.zeros(2), np.array([terminated] * 2), np.array([truncated] * 2), info


class NoneRender(Base):
    def shown(self) -> Any:
        return None


class NoneRenderButSeen(NoneRender):
    observation_space = BYTES

    def seen(self) -> Any:
        return bright(self.t)


class BatchRender(Base):
    def shown(self) -> Any:
        return bright(self.t)[None]


class FloatRender(Base):
    def shown(self) -> Any:
        return bright(self.t).astype(np.float32) / 255.0


class LargeFloatRender(Base):
    def shown(self) -> Any:
        return bright(self.t).astype(np.float64)


class RgbaRender(Base):
    def shown(self) -> Any:
        return np.dstack([bright(self.t), np.zeros((96, 96), np.uint8)])


class ChannelFirstRender(Base):
    def shown(self) -> Any:
        return bright(self.t).transpose(2, 0, 1)


class GreyRender(Base):
    def shown(self) -> Any:
        return bright(self.t)[..., 0].astype(np.int64)


class HdrRender(Base):
    def shown(self) -> Any:
        return bright(self.t).astype(np.uint16) * 200


class Wide(Base):
    """480x120 with a round disc in the middle, 100 across."""

    def shown(self) -> Any:
        y, x = np.mgrid[:120, :480]
        disc = (x - 240) ** 2 + (y - 60) ** 2 < 50**2
        return np.where(disc[..., None], [255, 60, 60], [20, 20, 60]).astype(np.uint8)


class NoRenderMode(Base):
    def __init__(self) -> None:
        super().__init__("rgb_array")


class NeedsRenderMode(Base):
    def __init__(self, render_mode: str) -> None:
        super().__init__(render_mode)


class Picky(Unrendered):
    """Asserts a render mode that it has, as many do."""

    observation_space = BYTES

    def __init__(self, render_mode: str | None = None) -> None:
        assert render_mode is None or render_mode in self.metadata["render_modes"]
        super().__init__(render_mode)

    def seen(self) -> Any:
        return bright(self.t)


class FailsToStart(Base):
    def __init__(self, render_mode: str | None = None) -> None:
        raise RuntimeError("no EGL device can be opened")


class FloatSeen(Unrendered):
    observation_space = spaces.Box(0.0, 1.0, (96, 96, 3), np.float32)

    def seen(self) -> Any:
        return bright(self.t).astype(np.float32) / 255.0


class ChannelFirstSeen(Unrendered):
    observation_space = spaces.Box(0, 255, (3, 96, 96), np.uint8)

    def seen(self) -> Any:
        return bright(self.t).transpose(2, 0, 1)


class Stacked(Unrendered):
    observation_space = spaces.Box(0, 255, (84, 84, 4), np.uint8)

    def seen(self) -> Any:
        return np.full((84, 84, 4), 100, np.uint8)


class OneStep(Base):
    lasts = 1


class Choosy(Base):
    """Has an argument, and takes seeds of 32 bits only, as older engines do."""

    def __init__(
        self, render_mode: str | None = None, level: int = 0, name: str = "", fast: bool = False
    ) -> None:
        super().__init__(render_mode)
        self.level, self.name, self.fast = level, name, fast

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None and seed >= 2**32:
            raise ValueError("Seed must be between 0 and 2**32 - 1")
        return super().reset(seed=seed)


class Many(Base):
    action_space = spaces.MultiDiscrete([3, 2, 12], start=[1, 0, 0])


class Buttons(Base):
    action_space = spaces.MultiBinary(12)

    def get_keys_to_action(self) -> Any:
        return {"a": np.eye(12, dtype=np.int8)[11], "b": np.zeros(12, np.int8)}


class Nested(Base):
    action_space = spaces.Tuple(
        [
            spaces.Discrete(3, start=-1),
            spaces.Dict(
                {"wheel": spaces.Box(-1.0, 1.0, (2,), np.float32), "gear": spaces.MultiBinary([2, 2])}
            ),
        ]
    )


class Typist(Base):
    action_space = spaces.Dict({"say": spaces.Text(4)})


for _class in list(globals().values()):
    if (
        isinstance(_class, type)
        and issubclass(_class, Base)
        and f"{_class.__name__}-v0" not in gymnasium.registry
    ):
        gymnasium.register(f"{_class.__name__}-v0", _class)
