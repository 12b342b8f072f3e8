"""Measure a checkpoint on recorded, held-out episodes: how far ahead the dream holds, and what it remembers.

    python -m training.evaluate checkpoint=NAME_OR_PATH ahead=EXPLORE_DIR needle=NEEDLE_DIR alone=LONG_DIR out=FILE.json

*Ahead*: true context, then ``horizon`` frames dreamt blind under the recorded actions; SSIM and PSNR 1, 4, 16 and 64
frames ahead, for the dream, for copying the last context frame, and for an untrained model over the same autoencoder.
*Needle*: history from truth, ``blind=16`` frames blind at a time (paper, section 6.1); SSIM of returning views by how
many frames ago they were last seen, for the full memory and for its forgetful twin. With more frames blind much of what
comes back was seen in the dream alone. Intervals are 95% bootstraps over episodes.
*Alone*: true context, then 300 frames on recorded actions (episodes of ``steps=364``); latent Fréchet distance of parts
of them to all true frames, beside that of other true worlds under these actions, and how many dreams collapse;
``strips=FILE.png`` shows them, or without ``alone`` the frames *ahead* of one walk. ``second=false`` leaves a second
denoiser out; ``alone_after=N`` lets it take over after so many frames without a true one, whatever the checkpoint says.
A pair of AR-Diffusion (`training.train_ar_diffusion`) is measured the same way. With ``method=NAME`` (or ``all`` of
them) the checkpoint is a video model (`training.train_video`), played by that method, which may know the recorded
actions of the frames to come. Episodes are recorded by `training.collect`, so that the numbers come from the same
frames every time. Somebody else's model is measured by ``checkpoint=package.module:factory``
(:mod:`worldsim.dream.external`), in *ahead* and *needle*.

Where the extra ``perceptual`` is installed, LPIPS (over AlexNet) stands beside SSIM in *ahead* and *needle*, and the
Fréchet video distance beside the latent one in *alone* (16-frame clips, about a second each on one thread);
``perceptual=false`` leaves them out, ``perceptual=true`` does not go on without them.
``workers=N`` plays episodes in so many processes of one thread, ``cluster=auto|ray://HOST:PORT`` on a Ray cluster
(docs/cluster.md); with ``out=`` a command that was ended goes on with the episodes that are missing.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from envs.episodes.episode import Episode
from training.data.episodes import open_episodes
from training.evaluation import ahead
from training.evaluation import task as tasks
from training.evaluation.ahead import ahead_table
from training.evaluation.config import ALL, Config
from training.evaluation.free_running import Frames, elsewhere, held, long_enough, strips, videos
from training.evaluation.needle import needle_table
from training.evaluation.tables import held_line, table, videos_line
from training.evaluation.task import FREE_RUNNING, NEEDLE, Part
from training.loop.cluster import LOCAL, Cluster, Place, Task, started
from worldsim.actions import check_same
from worldsim.cli.command import command
from worldsim.config import ConfigError, load, shipped
from worldsim.config.addresses import PICTURES, is_address, local_path, prepare_output, spool, write_text
from worldsim.dream.registry import PAIR, Source
from worldsim.metrics.perceptual import Perceptual
from worldsim.runtime import hardware, pick_device, use_threads


@command
def main(args: list[str]) -> int:
    if any(word.startswith(("table=", "figure=")) for word in args):
        from training.study.run import run

        return run(args)
    config = load(Config, args)
    if not (config.ahead or config.needle or config.alone):
        raise ConfigError("nothing to measure: expected ahead=, needle= or alone=, a folder of episodes")
    prepare_output("out", config.out, ".json", store=True)
    prepare_output("strips", config.strips, *PICTURES)
    gpus = 1.0 if pick_device(config.device).type == "cuda" else 0.0
    place = Place(config.cluster, config.workers, gpus=gpus)
    if config.cluster != LOCAL or config.workers > 1:
        config = replace(config, threads=config.threads or 1)
    use_threads(config.threads)
    try:
        with started(place) as cluster:
            return _evaluate(config, cluster)
    finally:
        tasks.forget()


def _kept(config: Config) -> str:
    """The folder that keeps what episodes gave, empty for none: other machines do not see the cache of this one."""
    if not is_address(config.out):
        return f"{local_path(config.out)}.episodes" if config.out else ""
    return str(spool(config.out)) if config.cluster == LOCAL else ""


def _evaluate(config: Config, cluster: Cluster) -> int:
    device = pick_device(config.device)
    source = tasks.source_of(config.checkpoint, str(device), config.method)
    if config.alone and (source.loaded is None or source.loaded.description.kind == PAIR):
        what = (
            "the latents of a pair are tokens" if source.loaded else "a model that is not ours has no latents"
        )
        raise ConfigError(f"alone=: {what}, of which there is no Fréchet distance here")
    networks = tasks.networks_of(config.perceptual, str(device))
    play = Play(cluster, source, _kept(config))
    result = _head(config, source, networks) | {"hardware": hardware(device)}
    drawn: ahead.Pictures = {}
    if config.method == ALL:
        result["methods"] = {}
        for name in shipped.methods():
            print(name)
            result["methods"][name] = _scores(replace(config, method=name), source, networks, play, drawn)
    else:
        result |= _scores(config, source, networks, play, drawn)
    if drawn:
        Image.fromarray(ahead.strips(drawn)).save(config.strips)
    if config.out:
        write_text(config.out, json.dumps(result, indent=1) + "\n")
    if play.kept:
        shutil.rmtree(play.kept, ignore_errors=True)
    print(json.dumps(result))
    return 0


@dataclass(frozen=True)
class Play:
    """Plays episodes where the words say.

    Attributes:
        kept: folder of what each gave, from which a command that was ended goes on; empty for none.
    """

    cluster: Cluster
    source: Source
    kept: str

    def __call__(self, kind: str, config: Config, episodes: list[Episode], networks: Any) -> list[Any]:
        """What each episode gave, in their order."""
        loaded = self.source.loaded
        mark = "" if loaded is None else f"{loaded.fingerprint} {loaded.description!r}"
        config = config if networks else replace(config, perceptual="false")
        files = [str(episode.path) for episode in episodes]
        parts = [
            Part(kind, config, f, files[0], i, self.kept if mark else "", mark) for i, f in enumerate(files)
        ]
        given = {part.name: part for part in parts}
        found: dict[str, Any] = {}
        for task, value in tqdm(
            self.cluster.run(Task(name, tasks.play, (part,)) for name, part in given.items()),
            kind,
            total=len(parts),
            unit="episode",
        ):
            found[task.name] = value
        return [found[part.name] for part in parts]


def _head(config: Config, source: Source, networks: Perceptual | None) -> dict[str, Any]:
    """What the numbers were measured with: the dials that this kind of dream has."""
    words = ("checkpoint", "budget", "denoising_steps", "blind", "pose_from", "second", "alone_after", "seed")
    head: dict[str, Any] = {word: getattr(config, word) for word in words}
    if networks:
        head["perceptual"] = {"lpips": networks.origin["lpips_alex"], "fvd": networks.origin["i3d"]}
        print("; ".join(f"{name.upper()}: {weights}" for name, weights in head["perceptual"].items()))
    if config.method:
        head |= {"method": config.method, "precision": config.precision}
        head |= {"farthest": config.farthest, "starts": config.starts}
    without: tuple[str, ...]
    if config.method or source.loaded is None:  # they have their own
        without = ("budget", "denoising_steps", "second", "alone_after")
    elif source.loaded.description.kind == PAIR:
        head["budget"], without = 0, ("second", "alone_after")
    else:
        return head
    return {word: value for word, value in head.items() if word not in without} | {"pose_from": "none"}


def _scores(
    config: Config, source: Source, networks: Perceptual | None, play: Play, drawn: ahead.Pictures
) -> dict[str, Any]:
    """What was asked for, printed as it is known; the frames of one walk that are looked at are added to ``drawn``."""

    def held_out(folder: str) -> list[Episode]:
        episodes = open_episodes(folder, source.size)
        if source.loaded is not None:
            action_spec = source.loaded.action_spec
            check_same(action_spec, episodes[0].meta["action_spec"], config.checkpoint, folder)
        return episodes[: config.episodes or None]

    folders = {tasks.AHEAD: config.ahead, NEEDLE: config.needle, FREE_RUNNING: config.alone}
    opened = {kind: held_out(folder) for kind, folder in folders.items() if folder}
    if config.ahead:  # what is too short is refused before anything is played
        ahead.long_enough(opened[tasks.AHEAD], config)
    if config.alone:
        long_enough(opened[FREE_RUNNING], config.context)
    found: dict[str, Any] = {}
    if config.ahead:
        episodes = opened[tasks.AHEAD]
        played = play(tasks.AHEAD, config, episodes, networks)
        found["ahead"] = ahead_table(played, source, config, networks)
        if config.strips and not config.alone:
            pictures = ahead.pictures_of(source, episodes[0], config)
            drawn |= {ahead.TRUE: pictures[ahead.TRUE], config.method or "dream": pictures["dream"]}
        rows = found["ahead"].items()
        for metric in ("ssim", *(("lpips",) if networks else ())):
            print(f"{metric.upper()}, frames ahead")
            print(table((who, {h: v[metric] for h, v in row.items()}) for who, row in rows))
    if config.needle:
        needle = needle_table(play(NEEDLE, config, opened[NEEDLE], networks), source, networks)
        found |= needle
        for name, rows_of in needle.items():
            print(f"{'LPIPS' if name.endswith('lpips') else 'SSIM'} of returning views, by age")
            print(table(rows_of.items()))
    if config.alone:
        episodes = opened[FREE_RUNNING]
        dreamt = np.stack(play(FREE_RUNNING, config, episodes, networks))
        found["alone"] = _free_running(config, source, episodes, dreamt, networks)
    return found


def _free_running(
    config: Config, source: Source, episodes: list[Episode], dreamt: Frames, networks: Perceptual | None
) -> dict[str, Any]:
    assert source.loaded is not None
    other = elsewhere(episodes, config.context)
    found = held(source.loaded.encode, episodes, dreamt, config.context, other)
    print(held_line(found))
    if networks:
        found["fvd"] = videos(networks.clip_features, episodes, dreamt, config.context, other)
        print(videos_line(found["fvd"]))
    if config.strips:
        Image.fromarray(strips(episodes, dreamt, config.context)).save(config.strips)
    return found


if __name__ == "__main__":
    sys.exit(main())
