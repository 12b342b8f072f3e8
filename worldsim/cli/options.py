"""What the command line of the front door asks for, read and checked before anything heavy is loaded."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from worldsim.config import load, shipped
from worldsim.config.hardware import ALIASES, DEVICES, ENGINE_PRECISIONS, ENGINES
from worldsim.session.interfaces import BLIND, MAX_STEPS

if TYPE_CHECKING:
    from worldsim.session.tick import Source  # whoever asks for help need not wait for what it needs

GYM = "gym"
FAMILIES = ("minecraft", "dmlab", "doom", "gym:ENV_ID")
BACKENDS = {  # what draws each world, the first unless told otherwise
    "minecraft": ("embedded", "luanti", "minerl"),
    "dmlab": ("embedded", "deepmind_lab"),
    "doom": ("vizdoom",),
    GYM: ("gymnasium",),
}
POLICIES = ("keyboard", "explore", "needle", "roam", "look_around", "hold_keys", "build", "random")
PLAYERS = {GYM: "random"}  # who plays a headless run, where it is not the needle policy
OUTPUTS = {"video": ".mp4", "report": ".json"}  # whose endings keep them from taking a recording's place
HEADLESS_STEPS = 300
MOST_SESSIONS = 64
LARGEST_SEED = 2**128  # that a recording tells


class OptionError(ValueError):
    """The command line asks for something that does not exist or does not go together."""


@dataclass
class PlayConfig:
    """The ``key=value`` words of the front door.

    ``history`` and ``budget`` None are the checkpoint's longest and the dream's own; ``tick_rate`` None is
    the world's own pace; ``threads`` are torch's on the CPU, 0 leaves them to torch: the shipped models are too
    small to gain from a second one. ``method`` names a method of Meta-ARVDM (assets/configs/methods), or a YAML file of
    one, to play a video model by. Without ``second``
    a dream that is left to its own past keeps the denoiser that it began with; ``alone_after`` is how many frames
    without a true one among them that takes, None what the checkpoint says. ``keys`` is a YAML file that says which
    keys play a Gymnasium world (as those in assets/configs/keys do), and ``size`` the side of the picture in pixels:
    of what the dream was trained at, or a multiple of that where it has a memory of pixels; None is that side, 64 where
    there is no dream, and twice as much for a window that records nothing from the start.
    ``invert_y`` turns the vertical axis of mouse, stick and touch round.
    ``perceptual`` adds LPIPS to the report, if the extra of that name is installed.
    ``precision`` is what its engine multiplies in where it makes pictures, fp32, bf16, or auto, the faster one;
    ``engine`` is what computes, a name of docs/engines.md, or auto, the fastest of those that are there.
    """

    history: int | None = None
    budget: int | None = None
    denoising_steps: int | None = None
    pose_from: str = "dream"
    blind: int = BLIND
    tick_rate: int | None = None
    turn_rate: float = 120.0
    mouse_degrees: float = 0.15
    invert_y: bool = False
    width: int = 1280
    height: int = 800
    threads: int = 1
    method: str = ""
    second: bool = True
    alone_after: int | None = None
    keys: str = ""
    size: int | None = None
    precision: str = "auto"
    engine: str = "auto"
    perceptual: bool = False

    def __post_init__(self) -> None:
        if self.pose_from not in ("dream", "true"):
            raise OptionError(f"expected pose_from=dream or true, found pose_from={self.pose_from}")
        for name, known in (("precision", ENGINE_PRECISIONS), ("engine", ("auto", *ENGINES))):
            if (value := getattr(self, name)) not in (*known, *(ALIASES if name == "engine" else ())):
                raise OptionError(f"{name}: expected one of {', '.join(known)}, found {value!r}")
        if self.method and not shipped.method_file(self.method).is_file():
            raise OptionError(f"method={self.method}: there is no such file")
        if self.keys and not Path(self.keys).is_file():
            raise OptionError(f"keys={self.keys}: there is no such file; assets/configs/keys has examples")
        if self.denoising_steps is not None and not 1 <= self.denoising_steps <= MAX_STEPS:
            raise OptionError(f"expected denoising_steps from 1 to {MAX_STEPS}, found {self.denoising_steps}")
        for name, value in vars(self).items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if number and value <= 0 and name != "threads":
                raise OptionError(f"expected {name} above 0, found {name}={value}")
        if self.threads < 0:
            raise OptionError(f"expected threads of at least 0, found threads={self.threads}")


@dataclass(frozen=True)
class Options:
    """The command line, read."""

    env: str
    backend: str
    compare: bool = False
    history_from: Source = "dream"
    record: Path | None = None
    replay: Path | None = None
    policy: str = "keyboard"
    seed: int = 0
    checkpoint: str | None = None
    device: str = "auto"
    headless: bool = False
    steps: int | None = None
    video: Path | None = None
    report: Path | None = None
    bookmark: Path | None = None
    browser: bool = False
    host: str | None = None  # None: this machine alone
    port: int | None = None
    names: tuple[str, ...] = ()  # under which a proxy in front is asked
    sessions: int | None = None  # played at once in browsers
    config: PlayConfig = field(default_factory=PlayConfig)

    @property
    def world(self) -> str:
        """The kind of world, a key of ``BACKENDS``."""
        return GYM if self.env.startswith(f"{GYM}:") else self.env

    @property
    def slug(self) -> str:
        """The world's name as a part of a file's name."""
        return slug(self.env)

    @property
    def single(self) -> bool:
        """Whether no second session may be played beside the first: they would write the same files, or read them."""
        return any((self.replay, self.video, self.report))

    @property
    def from_keyboard(self) -> bool:
        """Whether the player's hands play."""
        return self.policy == "keyboard" and self.replay is None

    def without_display(self) -> Options:
        """The same, played headless by the needle policy, leaving a video and a report here."""
        return replace(
            self,
            headless=True,
            history_from="true",
            policy=PLAYERS.get(self.world, "needle") if self.policy == "keyboard" else self.policy,
            steps=self.steps or (None if self.replay else HEADLESS_STEPS),
            video=self.video or Path(f"worldsim-{self.slug}.mp4"),
            report=self.report or Path(f"worldsim-{self.slug}.json"),
        )


def slug(env: str) -> str:
    """A world's name as a part of a file's name."""
    return re.sub(r"[^\w.-]+", "-", env)


def parse(words: list[str]) -> Options:
    """Read the command line.

    Live play remembers the dream's own frames and is played from the keyboard; a headless run has the past
    true at every ``blind``-th frame, is played by the needle policy and ends after 300 steps, unless told
    otherwise. ``--help`` prints and exits.

    Raises:
        OptionError: an unknown or missing option, or two that contradict each other.
        ConfigError: a ``key=value`` word with an unknown key or a wrong value.
    """
    found = _parser().parse_intermixed_args(words)
    world = GYM if found.env.startswith(f"{GYM}:") and found.env != f"{GYM}:" else found.env
    if world not in BACKENDS or found.env == GYM:
        raise OptionError(f"expected an --env of {', '.join(FAMILIES)}, found {found.env}")
    backends = BACKENDS[world]
    if (backend := found.backend or backends[0]) not in backends:
        raise OptionError(f"expected a --backend of {', '.join(backends)} for {found.env}, found {backend}")
    if found.headless and found.policy == "keyboard":
        raise OptionError("--policy keyboard needs a window; leave out --headless or take another policy")
    if found.replay and found.policy:
        raise OptionError("--replay plays what was recorded; leave out --policy")
    if found.replay and found.bookmark:
        raise OptionError("--replay plays what was recorded from its beginning; leave out --bookmark")
    if found.steps is not None and found.steps < 1:
        raise OptionError(f"expected --steps of at least 1, found {found.steps}")
    if not 0 <= found.seed <= LARGEST_SEED:
        raise OptionError(f"expected a --seed from 0 to {LARGEST_SEED}, found {str(found.seed)[:60]}")
    if found.device not in DEVICES:
        here = "`worldsim doctor` says what this machine has"
        raise OptionError(f"expected --device cpu or cuda, found {found.device!r}; {here}")
    _check_browser(found)
    for name, ending in OUTPUTS.items():
        path = getattr(found, name)
        if path is not None and not path.parent.is_dir():
            raise OptionError(f"--{name} {path}: there is no folder {path.parent}; make it or name another")
        if path is not None and path.suffix.lower() != ending:
            raise OptionError(f"--{name} {path}: expected a file that ends in {ending}")
    for name in ("replay", "bookmark"):
        if (path := getattr(found, name)) is not None and not path.is_file():
            raise OptionError(f"--{name} {path}: there is no such file")
    if found.headless and found.steps is None and not found.replay:
        found.steps = HEADLESS_STEPS
    asked = vars(found)
    config = load(PlayConfig, asked.pop("overrides"))
    if config.keys and world != GYM:
        raise OptionError(f"keys={config.keys}: only Gymnasium worlds take keys from a file")
    asked |= {
        "backend": backend,
        "history_from": found.history_from or ("true" if found.headless else "dream"),
        "policy": found.policy or (PLAYERS.get(world, "needle") if found.headless else "keyboard"),
        "names": tuple(found.names or ()),
    }
    return Options(**asked, config=config)


def _check_browser(found: argparse.Namespace) -> None:
    """Refuse words that need --browser without it, and those that do not go with it.

    Raises:
        OptionError: which they are.
    """
    only = {
        "--host": found.host,
        "--port": found.port,
        "--public-name": found.names,
        "--sessions": found.sessions,
    }
    for name, value in only.items():
        if value is not None and not found.browser:
            raise OptionError(f"{name} needs --browser")
    if found.browser and found.headless:
        raise OptionError("--headless has no player, --browser is for one; leave one of them out")
    for name in ("replay", "video", "report"):
        if found.browser and getattr(found, name) is not None and (found.sessions or 1) > 1:
            raise OptionError(f"--{name} is of one session at a time; leave --sessions {found.sessions} out")
    if found.sessions is not None and not 1 <= found.sessions <= MOST_SESSIONS:
        raise OptionError(f"expected --sessions from 1 to {MOST_SESSIONS}, found {found.sessions}")
    if found.port is not None and not 0 <= found.port < 2**16:
        raise OptionError(f"expected a --port from 0 to {2**16 - 1}, found {found.port}")


def usage() -> str:
    """What ``--help`` prints."""
    return _parser().format_help()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise OptionError(f"{message}; see worldsim play --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="worldsim play",
        usage="worldsim play --env WORLD [options] [key=value ...]",
        description="Walk through a true world and, beside it, a diffusion model's dream of it.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=28, width=100),
        epilog=f"key=value words set {', '.join(PlayConfig.__annotations__)}.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--env", required=True, metavar="{" + ",".join(FAMILIES) + "}", help="which world")
    backends = sorted({name for names in BACKENDS.values() for name in names})
    add("--backend", choices=backends, help="what draws the true world")
    add("--compare", action="store_true", help="show the forgetful twin too: same weights, shortest history")
    add("--history-from", choices=("true", "dream"), help="whose frames the dream remembers")
    add("--record", type=Path, metavar="DIR", help="record everything that is played into this folder")
    add("--replay", type=Path, metavar="EPISODE", help="play a recorded episode again")
    add("--policy", choices=POLICIES, help="who plays")
    add("--seed", type=int, default=0, help="which world to make")
    what = "whose dream: a checkpoint, MODULE:FACTORY, or ws://HOST:PORT"
    add("--checkpoint", metavar="NAME_OR_PATH", help=what)
    add("--device", default="auto", metavar="{cpu,cuda}", help="where the dream is computed")
    add("--headless", action="store_true", help="no window")
    add("--steps", type=int, help="stop after this many")
    add("--video", type=Path, metavar="FILE.mp4", help="write a video")
    add("--report", type=Path, metavar="FILE.json", help="write the scores")
    add("--bookmark", type=Path, metavar="FILE", help="begin at a state that B kept")
    add("--browser", action="store_true", help="play in a browser (docs/browser.md)")
    add("--host", help="address to serve at; others need the token that is printed")
    add("--port", type=int, help="of that address")
    named = "a name under which a proxy in front is asked"
    add("--public-name", action="append", dest="names", metavar="NAME", help=named)
    add("--sessions", type=int, help="how many may be played at once in browsers")
    add("overrides", nargs="*", metavar="key=value", help="fields of the typed configuration")
    return parser
