"""A world of your own: a ball that the arrows push over a floor with tiles. From this file's folder:

worldsim record --env gym:bring_a_world:Ball-v0 --headless --steps 100
worldsim train gym:bring_a_world:Ball-v0 minutes=10
worldsim play --env gym:bring_a_world:Ball-v0 --checkpoint runs/gym-bring_a_world-Ball-v0/checkpoint
"""

import gymnasium
import numpy as np
from gymnasium import spaces

SIDE = 64


class Ball(gymnasium.Env):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}
    observation_space = spaces.Box(0, 255, (SIDE, SIDE, 3), np.uint8)  # the picture is what is dreamt
    action_space = spaces.Discrete(5)  # nothing, left, right, up, down

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = self.np_random.uniform(10, SIDE - 10, 2)
        self.colour = self.np_random.integers(80, 256, 3)
        return self._picture(), {}

    def step(self, action):
        self.at += np.array([(0, 0), (-3, 0), (3, 0), (0, -3), (0, 3)])[action]
        self.at = self.at.clip(6, SIDE - 6)
        return self._picture(), 0.0, False, False, {}

    def get_keys_to_action(self):
        return {("left",): 1, ("right",): 2, ("up",): 3, ("down",): 4}

    def _picture(self):
        y, x = np.mgrid[:SIDE, :SIDE]
        floor = np.where((x // 8 + y // 8) % 2, 90, 60)
        picture = np.repeat(floor[..., None], 3, 2).astype(np.uint8)
        picture[np.hypot(x - self.at[0], y - self.at[1]) < 6] = self.colour
        return picture


gymnasium.register("Ball-v0", Ball)
