"""Play: a true world and its dream, side by side, in a window, in a browser, or without either."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from worldsim.cli.command import command, say
from worldsim.cli.compile_ahead import COMPILE_ENGINE, ENGINE, CompileAhead
from worldsim.cli.display import shown
from worldsim.cli.options import Options, parse, usage

if TYPE_CHECKING:
    from envs.episodes.episode import Episode
    from worldsim.metrics.perceptual import Perceptual

__doc__ = f"{__doc__}\n\n{usage()}"  # what --help prints


@command
def main(words: list[str]) -> None:
    """Parse the words, build the world and its dreams, play."""
    options = shown(parse(words))
    if options.browser:
        from worldsim.server.serve import check_installed

        check_installed()

    from envs.worlds import World, compilers

    compiling = CompileAhead(compilers(options.env, options.backend) | {ENGINE: COMPILE_ENGINE})
    import torch  # noqa: F401  (the longest import, while the kernels are compiled)

    from worldsim.cli.run import Played, run
    from worldsim.session.sinks.replay_check import ReplayCheck

    action_spec, episode = _checked(options)
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
        world = World(options.env, options.backend, size, options.seed, episode, *keep)
        session = Session(
            world.env,
            {"memory": dream()} if dream else {},
            twin=dream,
            recorder=world.recorder,
            history_from=options.history_from,
            blind=options.config.blind,
        )
        player = None if options.from_keyboard else lambda info: world.player(options.policy, info)
        return Played(session, player, lambda: world.needle(session.info), world.seed, world.options)

    if options.browser:
        from worldsim.cli.browser import serve

        serve(options, make)
        return
    played = make()
    run(
        options,
        played.session,
        make_policy=played.make_policy,
        make_macro=played.make_macro,
        about=dreams.about(options, source, played.seed or 0),
        seed=played.seed,
        reset_options=played.reset_options,
        check=ReplayCheck(episode) if episode else None,
        networks=networks,
    )


def _networks() -> Perceptual:
    """What LPIPS is read by; imported where it is asked for."""
    from worldsim.metrics.perceptual import Perceptual

    return Perceptual.load()


def _checked(options: Options) -> tuple[dict[str, Any], Episode | None]:
    """The world's language and the episode; what was asked for in vain is refused before anybody waits for kernels."""
    from envs import actions
    from envs.episodes.episode import Episode
    from worldsim import checkpoint
    from worldsim.actions import check_same
    from worldsim.dream import external

    action_spec = actions.spec(actions.space(options.env), options.env)
    episode = Episode(options.replay) if options.replay else None
    if episode:
        check_same(
            episode.meta["action_spec"], action_spec, f"the episode {episode.path}", f"--env {options.env}"
        )
    if options.checkpoint and not external.find(options.checkpoint):
        folder, description = checkpoint.describe(options.checkpoint)
        check_same(
            description.action_spec, action_spec, f"the checkpoint {folder.name}", f"--env {options.env}"
        )
    return action_spec, episode
