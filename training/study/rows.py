"""The rows of the study as data: which model plays them, with which dials, and what the paper has beside them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from training.study import paper
from training.study.config import FIGURE
from worldsim.diffusion.methods import Method, method
from worldsim.diffusion.schedules import calls
from worldsim.metrics.theory.timestep_sets import NAMES

WORLD, PREPEND, CHANNEL = "world", "prepend", "channel"
BACKBONES = (WORLD, PREPEND, CHANNEL)
"""What rows are played from: the real-time dream, and a video model for each structure of section 6.1."""

DIALS = ((16, None), (48, None), (112, None), (48, 8), (48, 16), (48, 32), (48, 48))
TWIN = 0  # stands for a history of the dream's own short window
COMPRESSED = (8, 16, 32, 48)


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        name: unique over the study, and a name for files.
        history: frames; TWIN is the short window. budget: latents, None where nothing is compressed.
        preset, words: the method that plays it and words over its YAML; none for the world model.
        spacing: how the world model's noise levels lie, one of ``worldsim.diffusion.schedules.SPACINGS``.
        plays: the name of the row whose dreams are this row's too, because the two cannot differ here; mostly its own.
        note: what the reader has to know of it.
    """

    name: str
    label: str
    backbone: str
    history: int
    budget: int | None
    preset: str = ""
    words: tuple[str, ...] = ()
    spacing: str = "even"
    plays: str = ""
    note: str = ""

    @property
    def played(self) -> str:
        """The row whose dreams count."""
        return self.plays or self.name

    @property
    def settings(self) -> paper.Settings:
        """Where the paper has its counterpart, if it has one; the world model stands beside prepending."""
        return ("channel" if self.backbone == CHANNEL else "prepend", self.history, self.budget)


def _name(backbone: str, history: int, budget: int | None) -> str:
    return f"{backbone}-{history or 'window'}-{'all' if budget is None else budget}"


def _world(history: int, budget: int | None, label: str = "Ray memory") -> Row:
    whole = budget is not None and budget == history
    return Row(
        _name(WORLD, history, budget),
        label,
        WORLD,
        history,
        budget,
        plays=_name(WORLD, history, None) if whole else "",
        note="a budget of all its history is no compression here: the dreams of the row without a budget"
        if whole
        else "",
    )


def _structure(backbone: str, label: str, history: int, budget: int | None) -> Row:
    way, by = ("prepend", "joint") if backbone == PREPEND else ("channel", "modulated")
    compressed = budget is not None
    words: tuple[str, ...] = (f"references.count={history}", f"memory.way={way}")
    words += (
        (f"memory.compressor={by}", f"memory.budget={budget}") if compressed else ("memory.compressor=none",)
    )
    preset = "soft_compression" if compressed else "last_16"
    return Row(_name(backbone, history, budget), label, backbone, history, budget, preset, words)


WORLD_ROWS = (
    *(_world(*settings) for settings in DIALS),
    _world(112, 16, "Ray memory, as it is played"),
    _world(TWIN, None, "Forgetful twin"),
)
TABLE_1 = (
    *WORLD_ROWS,
    *(_structure(PREPEND, "Prepending", *settings) for settings in DIALS),
    *(_structure(CHANNEL, "Channel concat", *settings) for settings in DIALS),
)
TABLE_2 = TABLE_1


def _method(
    preset: str, label: str, history: int, words: tuple[str, ...] = (), budget: int | None = None, **more: str
) -> Row:
    return Row(f"method-{preset}", label, PREPEND, history, budget, preset, words, **more)


TABLE_3 = (
    _method("last_16", "Frame sampling: prepending memory, last 16 frames", 16, plays="prepend-16-all"),
    _method("last_32_skip_1", "Frame sampling: prepending memory, last 32 frames with 1 frame skip", 32),
    _method("fifo", "Training-free: FIFO", 0),
    _method(
        "outpainting",
        "Training-free: Outpainting",
        16,
        plays="prepend-16-all",
        note="differs from the last 16 frames by training alone, and one network plays both here: the same dreams",
    ),
    _method(
        "gamengen",
        "Re-implemented: GameNGen",
        16,
        ("references.count=16",),
        note="16 frames, as in the paper",
    ),
    _method("streaming_t2v", "Re-implemented: StreamingT2V", 16, note="8 anchors and the last 8 frames"),
    _method(
        "soft_compression",
        "Soft compression: prepending with memory compression",
        48,
        budget=16,
        plays="prepend-48-16",
    ),
    _world(48, 16, "Ray memory, history 48 and budget 16"),
)

TABLE_4 = (
    *(_world(48, budget) for budget in COMPRESSED),
    *(_structure(PREPEND, "Prepending", 48, budget) for budget in COMPRESSED),
)

FIGURE_10 = tuple(
    Row(
        f"{WORLD}-{name.replace(',', '')}",
        f"Timestep set ({name})",
        WORLD,
        112,
        16,
        spacing=name.replace(",", ""),
    )
    for name in NAMES
)

TABLES = {1: TABLE_1, 2: TABLE_2, 3: TABLE_3, 4: TABLE_4, FIGURE: FIGURE_10}


def method_of(row: Row, most_steps: int) -> Method:
    """The method that plays a video model's row, of ``most_steps`` steps at most, 0 for its own.

    A method of fewer steps, such as FIFO, keeps its own.
    """
    chosen = method(row.preset, row.words)
    return replace(chosen, steps=min(chosen.steps, most_steps or chosen.steps))


def cost_of(row: Row, steps: int) -> dict[str, float]:
    """What a new frame of a row costs when it is played with so many steps: ``calls`` of the network, and how many
    ``computed`` frames go through it in all."""
    if row.backbone == WORLD:
        return {"calls": steps, "computed": steps}
    chosen = method_of(row, steps)
    schedule = chosen.schedule
    whole = calls(schedule, chosen.steps) / schedule.stride
    return {"calls": chosen.calls / schedule.stride, "computed": whole * schedule.window}


def group_of(row: Row) -> str:
    """Which pass over an episode dreams a row.

    All of the world model's share one batch but those of other noise levels; they and methods have their own.
    """
    return WORLD if row.backbone == WORLD and row.spacing == "even" else row.played


def groups(rows: tuple[Row, ...]) -> dict[str, tuple[Row, ...]]:
    """The passes that give these rows, and every row that is dreamt in each of them, once.

    The world model's pass always holds all its rows, so that every table reads the same dreams.
    """
    every = {row.name: row for table in TABLES.values() for row in table}
    found: dict[str, tuple[Row, ...]] = {}
    for row in rows:
        if group_of(row) == WORLD:
            found[WORLD] = tuple(r for r in WORLD_ROWS if not r.plays)
        else:
            found[row.played] = (every[row.played],)
    return found
