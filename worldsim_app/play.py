"""Play: a true world and its dream, side by side, in a window, in a browser, or without either."""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldsim.cli.command import command, say
from worldsim.cli.compile_ahead import COMPILE_ENGINE, ENGINE, CompileAhead, Jobs
from worldsim.cli.display import shown
from worldsim.cli.options import OptionError, Options, parse, usage
from worldsim.kernel_cache import cold, temporary

if TYPE_CHECKING:
    from envs.episodes.episode import Episode
    from worldsim.metrics.perceptual import Perceptual

BOOKMARKS = Path("bookmarks")  # where B keeps states

__doc__ = f"{__doc__}\n\n{usage()}"  # what --help prints


@command
def main(words: list[str]) -> None:
    """Parse the words, build the world and its dreams, play."""
    options = shown(parse(words))
    if options.browser:
        from worldsim.server.serve import check_installed

        check_installed()

    from envs.adapters.windowless import windowless
    from envs.worlds import World, compilers

    action_spec, episode = _world(options)
    compiling = _compiling(compilers(options.env, options.backend))
    import torch  # noqa: F401  (the longest import, while the kernels are compiled)

    from worldsim.cli.run import Played, run
    from worldsim.cli.sinks import Sinks
    from worldsim.session.sinks.replay_check import ReplayCheck

    _check_dream(options, action_spec)
    networks = _networks() if options.config.perceptual else None
    compiling.wait()
    from worldsim.cli import dreams
    from worldsim.session.session import Session

    recorded = episode.meta["size"] if episode else None
    source, dream = dreams.load(options, recorded, action_spec) or (None, None)
    if source:
        say(dreams.where(options, source))
    size = dreams.side(options, source, recorded)

    def make() -> Played:
        keep = options.record, not options.headless
        version = dreams.world_version(source)
        world = World(options.env, options.backend, size, options.seed, episode, *keep, version)
        session = Session(
            world.env,
            {dreams.name(options, source): dream()} if source and dream else {},
            twin=dream,
            recorder=world.recorder,
            history_from=options.history_from,
            blind=options.config.blind,
            bookmarks=None if options.headless else BOOKMARKS,
            rewindable=episode is None,
            opening=options.bookmark,
        )
        player = None if options.from_keyboard else lambda info: world.player(options.policy, info)
        return Played(session, player, lambda: world.needle(session.info), world.seed, world.options)

    def sinks(number: int, rate: int) -> Sinks:
        about = dreams.about(options, source, episode.meta["seed"] if episode else options.seed)
        return Sinks(options, about, rate, ReplayCheck(episode) if episode else None, networks, number)

    with windowless() if options.headless or options.browser else nullcontext():
        if options.browser:
            from worldsim.cli.browser import serve

            serve(options, make, sinks)
        else:
            run(options, make(), sinks)


def _networks() -> Perceptual:
    """What LPIPS is read by; imported where it is asked for."""
    from worldsim.metrics.perceptual import Perceptual

    return Perceptual.load()


def _compiling(world: Jobs) -> CompileAhead:
    """The kernels of a world and of the engine, being compiled where that has not been done."""
    jobs = world | {ENGINE: COMPILE_ENGINE}
    if (folder := temporary()) and any(map(cold, jobs)):
        say(
            f"Kernels are compiled, once, and kept in {folder}: neither the program's folder nor the user's "
            "cache can be written."
        )
    return CompileAhead(jobs)


def _world(options: Options) -> tuple[dict[str, Any], Episode | None]:
    """The world's language and the episode; what was asked for in vain is refused before anything heavy."""
    from envs import actions
    from envs.episodes.episode import Episode
    from worldsim.actions import check_same
    from worldsim.config.shipped import checkpoints
    from worldsim.dream import external

    known = checkpoints()
    name = options.checkpoint or ""
    if re.fullmatch(r"[\w-]+", name) and not (name in known or Path(name).is_dir() or external.find(name)):
        raise OptionError(f"no checkpoint {name!r}: expected a folder, or one of {', '.join(known)}")
    action_spec = actions.spec(actions.space(options.env), options.env)
    episode = Episode(options.replay) if options.replay else None
    if episode:
        check_same(
            episode.meta["action_spec"], action_spec, f"the episode {episode.path}", f"--env {options.env}"
        )
    return action_spec, episode


def _check_dream(options: Options, action_spec: dict[str, Any]) -> None:
    """Refuse a device and a checkpoint that do not fit before anybody waits for kernels."""
    from worldsim import checkpoint
    from worldsim.actions import check_same
    from worldsim.dream import external
    from worldsim.runtime import pick_device

    pick_device(options.device)
    if (
        options.checkpoint
        and not external.is_remote(options.checkpoint)
        and not external.find(options.checkpoint)
    ):
        folder, description = checkpoint.describe(options.checkpoint)
        check_same(
            description.action_spec, action_spec, f"the checkpoint {folder.name}", f"--env {options.env}"
        )
