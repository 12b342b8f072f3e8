"""EfficientNet-Lite0's features tell true frames of Blocks from what only has their colours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import envs  # noqa: F401  (registers the worlds)
from tests.helpers.networks import needs
from training.imagination.distances import Neighbours
from worldsim.metrics.frechet import fit, frechet_distance
from worldsim.metrics.networks import efficientnet, weights
from worldsim.metrics.networks.efficientnet import (
    Block,
    EfficientNetLite0,
    frame_features,
    load,
)
from worldsim.metrics.networks.weights import NetworkError


class Means(nn.Module):
    """Mean colour and the size that it was asked for."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.mean((2, 3)), torch.full((len(x), 1), float(x.shape[-1]))], 1)


def test_frames_are_brought_to_one_size_in_batches() -> None:
    frames = np.arange(40, dtype=np.uint8)[:, None, None, None].repeat(20, 1).repeat(30, 2).repeat(3, 3)
    found = frame_features(Means(), frames)
    assert found.dtype == np.float32 and found[:, 0] == pytest.approx(np.arange(40), abs=1e-4)
    assert found[:, 3].tolist() == [efficientnet.SIZE] * 40
    assert frame_features(Means(), frames[:0]).shape == (0, 1280)
    with pytest.raises(NetworkError, match="uint8 frames"):
        frame_features(Means(), frames / 255)


def test_only_a_block_of_one_size_adds_what_came_in() -> None:
    x = torch.rand(1, 16, 8, 8)
    same, strided, wider = Block(16, 16, 3, 1, 6), Block(16, 16, 5, 2, 6), Block(16, 24, 3, 1, 6)
    for block in (same, strided, wider):
        nn.init.zeros_(block.project.weight)
        assert block.project.bias is not None
        nn.init.zeros_(block.project.bias)
    assert torch.equal(same(x), x)
    assert strided(x).shape == (1, 16, 4, 4) and not strided(x).any()
    assert wider(x).shape == (1, 24, 8, 8) and not wider(x).any()


@needs("efficientnet")
def test_every_tensor_of_the_file_but_the_classifier_has_its_place() -> None:
    given = weights.tensors("efficientnet")
    numbers = sum(
        v.numel()
        for n, v in given.items()
        if n.endswith(("_conv.weight", "_conv_stem.weight", "_conv_head.weight"))
    )
    assert numbers == sum(
        p.numel() for n, p in EfficientNetLite0().named_parameters() if n.endswith("weight")
    )
    stem, head = given["_conv_stem.weight"], load().head
    assert stem.shape == (32, 3, 3, 3) and head.weight.shape == (1280, 320, 1, 1)


@needs("efficientnet")
def test_a_cat_is_a_cat() -> None:
    """With the file's classifier: a photograph has its class of ImageNet among the first three."""
    data = pytest.importorskip("skimage.data")
    picture = data.chelsea()[:, 75:375]
    given = weights.tensors("efficientnet")
    features = torch.from_numpy(frame_features(load(), picture[None]))
    best = (features @ given["_fc.weight"].T + given["_fc.bias"]).topk(3).indices[0].tolist()
    assert set(best) <= {281, 282, 285}, "tabby, tiger cat, Egyptian cat"


@needs("efficientnet")
def test_true_frames_are_told_from_their_colours_in_disorder() -> None:
    frames = _walk(120)
    rng = np.random.default_rng(0)
    tiles = frames.reshape(-1, 16, 4, 16, 4, 3).transpose(0, 1, 3, 2, 4, 5).reshape(-1, 256, 4, 4, 3)
    shuffled = rng.permuted(tiles, axis=1).reshape(-1, 16, 16, 4, 4, 3).transpose(0, 1, 3, 2, 4, 5)
    confetti = np.ascontiguousarray(shuffled).reshape(frames.shape)
    noise = rng.integers(0, 256, frames.shape).astype(np.uint8)
    network = load()
    world, other, *made = (
        frame_features(network, x) for x in (frames[::2], frames[1::2], confetti[::2], noise[::2])
    )
    near = Neighbours(world, np.arange(60), 3)
    everything = np.ones(60, bool)
    assert near.of(other, np.arange(60))[0](everything) > 0.8
    between = frechet_distance(fit(world), fit(other))
    for features in made:
        precision, recall, _ = near.of(features, np.arange(60))
        assert max(precision(everything), recall(everything)) < 0.05
        assert frechet_distance(fit(world), fit(features)) > 2 * between


def test_another_networks_file_is_one_sentence(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "w.pth")
    with pytest.raises(NetworkError, match="holds no EfficientNet-Lite0"):
        load(tmp_path / "w.pth")


def _walk(frames: int) -> np.ndarray:
    env: Any = gymnasium.make("worldsim/Blocks-v0", size=64, disable_env_checker=True)
    env.action_space.seed(0)
    observation, _ = env.reset(seed=3)
    shown = []
    for _ in range(frames):
        shown.append(observation["pov"])
        observation = env.step(env.action_space.sample())[0]
    env.close()
    return np.stack(shown)
