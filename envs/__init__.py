"""The true worlds: importing this package registers them with gymnasium."""

import gymnasium

gymnasium.register("worldsim/Blocks-v0", entry_point="envs.blocks.env:BlocksEnv")
gymnasium.register("worldsim/LabMaze-v0", entry_point="envs.labmaze.env:LabMazeEnv")
