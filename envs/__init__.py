"""The true worlds: importing this package registers them with gymnasium."""

import gymnasium

gymnasium.register("worldsim/Blocks-v0", entry_point="envs.blocks.env:BlocksEnv")
gymnasium.register("worldsim/LabMaze-v0", entry_point="envs.labmaze.env:LabMazeEnv")
gymnasium.register("worldsim/Luanti-v0", entry_point="envs.luanti.env:LuantiEnv")
gymnasium.register("worldsim/MineRL-v0", entry_point="envs.adapters.minerl:MineRLEnv")
gymnasium.register("worldsim/DeepMindLab-v0", entry_point="envs.adapters.deepmind_lab:DeepMindLabEnv")
gymnasium.register("worldsim/ViZDoom-v0", entry_point="envs.adapters.vizdoom:ViZDoomEnv")
gymnasium.register("worldsim/Gym-v0", entry_point="envs.adapters.gym_world:GymWorld")
