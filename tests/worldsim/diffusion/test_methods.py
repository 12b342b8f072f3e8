"""A method is data: every preset keeps Requirement 1 at every size, and what must coincide does."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from worldsim.config import ConfigError, load, shipped
from worldsim.diffusion.methods import Method, MethodConfig, build, method
from worldsim.diffusion.references import ReferencesError
from worldsim.diffusion.requirements import LEVEL_CHECKS, ScheduleError, causality, declared_pace
from worldsim.diffusion.schedules import path

EXPECTED = {
    "ar_diffusion": (16, 16),
    "art_v": (1, 1),
    "diffusion_forcing": (16, 16),
    "fifo": (16, 1),
    "gamengen": (1, 1),
    "last_16": (16, 16),
    "last_32_skip_1": (16, 16),
    "outpainting": (16, 16),
    "rolling": (16, 1),
    "soft_compression": (16, 16),
    "streaming_t2v": (16, 16),
}

every_preset = pytest.mark.parametrize("name", sorted(EXPECTED))


def _same(one: Method, other: Method) -> bool:
    """The same method but for what it is called and where it comes from."""
    return replace(one, name="", source="") == replace(other, name="", source="")


def test_the_presets_are_those_of_the_readme_with_their_windows_and_strides() -> None:
    found = {
        name: (m.schedule.window, m.schedule.stride) for name in shipped.methods() for m in [method(name)]
    }
    assert found == EXPECTED
    assert all(method(name).source for name in shipped.methods())


@every_preset
def test_requirement_1_holds_for_every_window_and_stride_or_the_relaxed_condition_is_named(name: str) -> None:
    config = load(MethodConfig, [], shipped.METHODS / f"{name}.yaml")
    for window in range(1, 33):
        for stride in range(1, window + 1):
            made = replace(config, window=window, stride=stride)
            s = build(name, replace(made, initialise=replace(made.initialise, frames=None))).schedule
            sizes = (window, stride, s.levels_in, s.levels_out)
            held = {condition: check(*sizes) for condition, check in LEVEL_CHECKS.items()}
            broken = [condition for condition, holds in held.items() if not holds]
            assert broken == ([] if s.relaxed is None else [s.relaxed])
            assert (s.relaxed is None) == (window % stride == 0)
            assert s.paces is None or declared_pace(s.levels_in, s.levels_out, s.paces)


@every_preset
def test_references_are_causal_and_no_more_than_the_history(name: str) -> None:
    m = method(name)
    for i in range(120):
        chosen = m.references(i)
        assert causality(i, chosen)
        assert len(chosen) <= m.history
    assert max(len(m.references(i)) for i in range(120)) == m.history


def test_reference_frames_are_those_of_the_papers() -> None:
    at = 100
    assert method("art_v").references(at) == [0, 98, 99]
    assert method("gamengen").references(at) == list(range(36, 100))
    assert method("streaming_t2v").references(at) == [*range(8), *range(92, 100)]
    assert method("streaming_t2v", ["references.anchors=3"]).references(at) == [0, 1, 2, *range(92, 100)]
    assert method("fifo").references(at) == []
    assert method("last_16").references(at) == list(range(84, 100))
    assert method("last_32_skip_1").references(at) == list(range(69, 100, 2))
    soft = method("soft_compression")
    assert (soft.history, soft.budget, soft.memory.way, soft.memory.compressor) == (
        48,
        16,
        "prepend",
        "joint",
    )


@pytest.mark.parametrize("name", ["ar_diffusion", "diffusion_forcing"])
def test_levels_of_asynchronous_presets_never_fall_along_the_window(name: str) -> None:
    m = method(name)
    levels = path(m.schedule, m.steps)
    assert (levels[0] == 1).all() and (levels[-1] == 0).all()
    assert (levels.diff(dim=1) >= 0).all() and (levels.diff(dim=1) > 0).any()
    assert m.calls == len(levels) - 1


def test_fifo_with_window_1_is_gamengen_without_context() -> None:
    without = ["references.policy=none", "references.count=0", "references.level=0"]
    numbers = ["steps=4", "initialise.steps=10"]
    begin = "initialise.references.policy=own"
    assert _same(method("fifo", ["window=1", begin, *numbers]), method("gamengen", without))


def test_a_method_without_a_past_may_begin_from_one() -> None:
    fifo = method("fifo")
    assert fifo.references(40) == [] and fifo.initial_references(40) == list(range(24, 40))
    assert method("rolling").initial_references == method("rolling").references
    with pytest.raises(ReferencesError, match="reference policy"):
        method("fifo", ["initialise.references.policy=latest"])


def test_outpainting_with_window_1_and_gamengens_references_is_gamengen() -> None:
    theirs = [f"references.{key}={value}" for key, value in asdict(method("gamengen").references).items()]
    assert _same(method("outpainting", ["window=1", "steps=4", *theirs]), method("gamengen"))


def test_asynchronous_without_lag_is_a_block_at_one_level() -> None:
    assert _same(method("ar_diffusion", ["lag=0", "steps=10"]), method("outpainting"))


def test_memory_as_long_as_the_window_and_not_compressed_is_no_memory() -> None:
    plain = ["references.count=16", "memory.compressor=none", "memory.budget=null"]
    assert _same(method("soft_compression", plain), method("last_16"))


def test_the_stride_of_a_block_follows_its_window() -> None:
    assert method("outpainting", ["window=5"]).schedule.stride == 5
    assert method("outpainting", ["window=12", "stride=4"]).schedule.relaxed is None


def test_latent_partitioning_divides_the_window() -> None:
    assert method("fifo").calls == 2  # two partitions, one step
    assert method("fifo", ["window=32"]).calls == 4
    assert method("fifo", ["window=5"]).frames_per_call == 5


def test_a_method_is_one_yaml_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("window: 4\nstride: 3\nreferences: {policy: strided, count: 2, every: 4}\n")
    m = method(file, ["steps=3"])
    assert (m.name, m.steps, m.schedule.relaxed) == ("mine", 3, "constant pace")
    assert m.references(9) == [4, 8]


@pytest.mark.parametrize(
    ("words", "error", "says"),
    [
        (["stride=17"], ScheduleError, "1 <= stride <= window, found window 16 and stride 17"),
        (["lag=2"], ScheduleError, "lag"),
        (["spacing=c3"], ScheduleError, "spacing: expected one of even, a1"),
        (["steps=0"], shipped.MethodError, "outpainting: steps: expected at least 1, found 0"),
        (["initialise.frames=8"], shipped.MethodError, "initialise.frames: expected at least 16, found 8"),
        (["memory.budget=0"], shipped.MethodError, "memory.budget"),
        (["sampler=dddim"], shipped.MethodError, "did you mean 'ddim'"),
        (["references.policy=strides"], ReferencesError, "did you mean 'strided'"),
        (["references.level=1.5"], ReferencesError, "level in"),
        (["widow=3"], ConfigError, "did you mean 'window'"),
    ],
)
def test_wrong_numbers_are_refused_in_a_sentence(words: list[str], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        method("outpainting", words)


def test_an_unknown_method_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(shipped.MethodError, match="no method 'gamegen'; did you mean 'gamengen'"):
        method("gamegen")
    with pytest.raises(shipped.MethodError, match="the methods are ar_diffusion, "):
        method("zzz")
    with pytest.raises(ConfigError, match=r"no configuration file at .*nowhere\.yaml"):
        method("nowhere.yaml")
