"""The bench: any model on a suite, twice the same, gone on with, compared and gated, whatever a model does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from training.bench.__main__ import main
from training.bench.results import score
from training.bench.suite import Suite
from worldsim.metrics.networks.weights import NetworkError

MODEL = "copying_bench_model:LastFrame"
BROKEN = {
    "raises": "raise KeyError('no such layer')",
    "wrong_shape": "return self.frame[::2]",
    "gives_nan": "return self.frame * float('nan')",
}


def bench(suite: Suite, *words: str) -> int:
    return main([*words, f"suite={suite.folder}", "isolate=false", "perceptual=false"])


def results(folder: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(folder) / "bench.json").read_text())
    return found


def numbers(folder: str) -> dict[str, Any]:
    """All but what two runs of the same have different."""
    return {key: value for key, value in results(folder).items() if key != "times"}


def written(folder: Path, name: str, line: str) -> str:
    text = f"""class Model:
    def begin(self, frames, actions):
        self.frame = frames[-1]

    def step(self, action):
        {line}
"""
    (folder / f"{name}.py").write_text(text)
    return f"{name}:Model"


def test_a_model_of_nine_lines_is_measured_and_twice_alike_but_for_times(
    elsewhere: Path, short: Suite
) -> None:
    assert bench(short, MODEL, "out=a") == 0 and bench(short, MODEL, "out=b") == 0
    assert numbers("a") == numbers("b")
    of = results("a")["models"][MODEL]
    assert set(of["summary"]["labmaze"]) == {"needle", "ahead", "mirror"}
    assert of["summary"]["labmaze"]["ahead"]["ssim 1"]["n"] == 1
    assert 0 < of["summary"]["labmaze"]["needle"]["ssim 0-16"]["mean"] < 0.9
    assert results("a")["truth"]["repeats"] and results("a")["complete"]
    # what copies the last frame is the same on the way out and back, and everywhere else
    mirror = of["summary"]["labmaze"]["mirror"]
    assert mirror["ssim 6"]["mean"] == mirror["ssim 6 chance"]["mean"] == 1
    truth = results("a")["models"]["truth"]["summary"]["labmaze"]["mirror"]
    assert truth["ssim 6"]["mean"] > truth["ssim 6 chance"]["mean"]
    times = results("a")["times"]
    assert times["models"][MODEL]["frames"] > 50 and times["hardware"]


def test_the_page_holds_everything_and_fetches_nothing(elsewhere: Path, short: Suite) -> None:
    assert bench(short, MODEL, "out=a") == 0
    page = Path("a/bench.html").read_text()
    assert page.count("data:image/png;base64") >= 5
    assert "http" not in page.replace("http-equiv", "") and "<script" not in page
    assert "labmaze-needle-00" in page and "ms a frame" in page


def test_a_suite_that_was_interrupted_goes_on(elsewhere: Path, short: Suite) -> None:
    assert bench(short, MODEL, "out=whole") == 0
    assert bench(short, MODEL, "out=parts", "minutes=0.000000001") == 0
    assert not results("parts")["complete"]
    assert len(results("parts")["models"][MODEL]["unmeasured"]) == 3
    assert bench(short, MODEL, "out=parts", "tasks=[ahead]") == 0
    (unit,) = Path("parts/units").glob("copying*/labmaze-ahead-00.json")
    before = unit.stat().st_mtime_ns
    assert bench(short, MODEL, "out=parts") == 0
    assert unit.stat().st_mtime_ns == before
    assert numbers("parts") == numbers("whole")


def test_a_model_that_was_changed_is_measured_anew(elsewhere: Path, short: Suite) -> None:
    assert bench(short, MODEL, "out=a", "tasks=[ahead]") == 0
    (unit,) = Path("a/units").glob("copying*/labmaze-ahead-00.json")
    before = unit.stat().st_mtime_ns
    with (elsewhere / "copying_bench_model.py").open("a") as file:
        file.write("# another one\n")
    assert bench(short, MODEL, "out=a", "tasks=[ahead]") == 0
    assert unit.stat().st_mtime_ns > before


def test_broken_models_are_a_sentence_each_and_the_rest_is_measured(
    elsewhere: Path, short: Suite, capsys: pytest.CaptureFixture[str]
) -> None:
    models = [written(elsewhere, name, line) for name, line in BROKEN.items()]
    (elsewhere / "does_not_import.py").write_text("1 / 0")
    assert bench(short, *models, "does_not_import:Model", MODEL, "out=a") == 1
    said = capsys.readouterr().err
    described = [line for line in said.splitlines() if line.startswith("broken: ")]
    assert len(described) == 4
    assert "raises:Model failed in step(action): KeyError: 'no such layer'" in described[0]
    assert "wrong_shape:Model" in described[1] and "found uint8 (32, 64, 3)" in described[1]
    assert "gives_nan:Model" in described[2] and "some of it NaN" in described[2]
    assert "does_not_import:Model does not import: division by zero" in described[3]
    assert results("a")["models"][MODEL]["summary"]["labmaze"]["ahead"]
    # where each was raised: of those that raised anything, once
    tracebacks = [results("a")["models"][model]["tracebacks"] for model in models]
    assert [list(t) for t in tracebacks] == [["labmaze-needle-00"], [], []]
    (raised,) = tracebacks[0].values()
    assert 'raises.py", line 6, in step' in raised and raised.endswith("KeyError: 'no such layer'\n")
    assert "1 / 0" in results("a")["models"]["does_not_import:Model"]["tracebacks"]["model"]
    page = Path("a/bench.html").read_text()
    assert "<details><summary>where raises:Model failed: labmaze-needle-00" in page and "in step" in page
    assert "tracebacks are in a/bench.json" in said


@pytest.mark.parametrize("isolate", ["isolate=false", "isolate=true"])
@pytest.mark.parametrize(
    ("name", "described"),
    [
        (
            "copying_bench_model:LastFrme",
            "error: copying_bench_model:LastFrme: copying_bench_model has no LastFrme",
        ),
        ("no_such_module:Model", "no module no_such_module is here"),
        ("labmase", "no checkpoint 'labmase'"),
        ("labmaze_methods,method=fifoo", "fifoo"),
    ],
)
def test_a_name_that_is_misspelt_ends_a_bench_before_anything_is_measured_or_written(
    name: str, described: str, isolate: str, elsewhere: Path, short: Suite, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in ([MODEL, name], [MODEL, f"against={name}"]):
        assert main([*words, f"suite={short.folder}", "perceptual=false", "out=a", isolate]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert described in line and not Path("a").exists()


def test_a_model_that_hangs_is_ended_and_named(
    elsewhere: Path, short: Suite, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(elsewhere), prepend=":")
    slow = written(elsewhere, "takes_a_minute", "__import__('time').sleep(60)")
    words = [f"suite={short.folder}", "perceptual=false", "frame_seconds=0.5", "tasks=[ahead]", "out=a"]
    assert main([slow, *words]) == 1
    assert f"{slow}: took more than 0.5 s for one frame" in capsys.readouterr().err
    assert results("a")["models"][slow]["errors"]


def test_a_gate_passes_what_is_the_same_and_fails_what_is_worse(
    elsewhere: Path, short: Suite, capsys: pytest.CaptureFixture[str]
) -> None:
    worse = written(elsewhere, "inverts_it", "return 255 - self.frame")
    assert bench(short, MODEL, f"against={worse}", "out=a") == 0
    assert "PASS copying_bench_model" in capsys.readouterr().out
    assert bench(short, worse, f"against={MODEL}", "out=a") == 1
    described = capsys.readouterr().out
    assert "FAIL inverts_it:Model against copying_bench_model:LastFrame" in described
    assert "episodes that got worse, the worst first" in described
    compared = results("a")["compared"][worse]
    betters = [w["better"] for w in compared["worst"] if w["key"].startswith("ssim")]
    assert betters == sorted(betters) and not compared["passed"]
    # the numbers of another day, in a file
    assert bench(short, MODEL, "out=b") == 0
    assert bench(short, MODEL, "against=b/bench.json", "out=c") == 0
    assert bench(short, worse, "against=b", "out=c") == 1
    assert (
        bench(short, worse, "against=b", "out=c", "tolerance.ssim=3", "tolerance.psnr=99", "tolerance.srr=1")
        == 0
    )


def test_what_is_compared_with_a_file_is_known_before_anything_is_measured(
    elsewhere: Path, short: Suite, capsys: pytest.CaptureFixture[str]
) -> None:
    other = written(elsewhere, "shows_it_too", "return self.frame")
    assert bench(short, MODEL, other, "out=two", "tasks=[ahead]") == 0
    third = written(elsewhere, "shows_it_as_well", "return self.frame")
    for against in ("two/bench.json", "two", "two/bench.json:another"):
        assert bench(short, third, f"against={against}", "out=c") == 2
        assert other in capsys.readouterr().err and not Path("c").exists()
    assert bench(short, third, f"against=two/bench.json:{other}", "out=c", "tasks=[ahead]") == 0
    assert f"PASS {third} against {other} of two/bench.json" in capsys.readouterr().out


def test_episodes_of_a_reference_that_were_not_asked_for_are_named(
    elsewhere: Path, short: Suite, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(short, MODEL, "out=b") == 0
    assert bench(short, MODEL, "against=b", "out=c", "tasks=[ahead]") == 0
    said = "did not ask for them: 2 episodes of labmaze (needle, mirror)"
    assert said in capsys.readouterr().out and said in Path("c/bench.html").read_text()
    assert bench(short, MODEL, "against=b", "out=c") == 0
    assert "did not ask" not in capsys.readouterr().out


def test_one_episode_has_no_interval(
    elsewhere: Path, short: Suite, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(short, MODEL, f"against={written(elsewhere, 'itself', 'return self.frame')}", "out=b") == 0
    said = capsys.readouterr().out
    assert "n=1 of 1 episode" in said and "[" not in said.replace("tasks=[", "")
    assert "better by" in said and "tolerance" in said
    one, two = {"mean": 0.5, "low": 0.5, "high": 0.5, "n": 3, "episodes": 1}, {"low": 0.4, "episodes": 2}
    assert score(one) == "0.500 n=3" and score(one | two) == "0.500 [0.400, 0.500] n=3"


def test_where_a_model_was_not_measured_is_said(
    elsewhere: Path, short: Suite, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(short, "blocks", "out=a") == 0
    said = "3 episodes of labmaze not measured: its actions are not those of labmaze"
    assert said in capsys.readouterr().out and said in Path("a/bench.html").read_text()


def test_one_that_is_interrupted_says_that_the_same_command_goes_on(
    elsewhere: Path, short: Suite, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = written(elsewhere, "is_interrupted", "raise KeyboardInterrupt")
    assert bench(short, model, "out=a") == 130
    assert "kept in a; the same command goes on" in capsys.readouterr().err


def test_networks_that_are_not_here_are_told_of_once(
    elsewhere: Path, short: Suite, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(device: object) -> None:
        raise NetworkError("it is not installed")

    monkeypatch.setattr("training.evaluation.scores.Perceptual.load", load)
    assert main([MODEL, f"suite={short.folder}", "isolate=false", "tasks=[ahead]", "out=a"]) == 0
    assert capsys.readouterr().out.count("no LPIPS and no FVD") == 1


def test_numbers_that_are_missing_fail_a_gate(elsewhere: Path, short: Suite) -> None:
    assert bench(short, MODEL, "out=b") == 0
    broken = written(elsewhere, "breaks_later", "raise ValueError('out of memory')")
    assert bench(short, broken, "against=b", "out=c") == 1
    assert len(results("c")["compared"][broken]["missing"]) == 3


@pytest.mark.parametrize(
    ("words", "described"),
    [
        (["suite=small"], "expected a model to measure"),
        (["last_frame:LastFrame", "suite=nowhere"], "suite: expected one of full, small, tiny"),
        (["blocks,colour=3"], "expected settings of history, budget"),
        (["blocks,history=long"], "expected history to be a number, found long"),
        (["blocks", "tasks=[dance]"], "expected some of needle, ahead"),
        (["blocks", "tasks=[]"], "tasks: expected some of needle, ahead"),
        (["blocks", "worlds=[]"], "worlds: expected some of blocks"),
        (["blocks", "tolerance.ssim=nan"], "tolerance.ssim: expected a number of 0 or more, found nan"),
        (["blocks", "tolerance.psnr=inf"], "tolerance.psnr: expected"),
        (["blocks", "tolerance.fd=-1"], "tolerance.fd: expected"),
        (["blocks", "minutes=nan"], "minutes of 0 or more"),
        (["blocks", "frame_seconds=nan"], "expected frame_seconds"),
        (["blocks", "against=nowhere/bench.json", "suite=tiny"], "no results at nowhere"),
    ],
)
def test_a_mistake_is_one_sentence(
    words: list[str], described: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert described in line


def test_the_twin_of_a_model_has_its_shortest_history(elsewhere: Path, short: Suite) -> None:
    assert bench(short, MODEL, "out=a", "twin=true", "tasks=[needle]") == 0
    models = results("a")["models"]
    assert models[f"{MODEL},history=window"]["summary"] == models[MODEL]["summary"]  # it remembers one frame


def test_suites_are_listed_and_parts_of_the_program_are_still_timed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["suites"]) == 0
    assert "tiny-v" in capsys.readouterr().out
    assert main(["speed", "nothing"]) == 2
    assert "expected a benchmark of envs, step" in capsys.readouterr().err
    assert main(["variants", "seconds=none"]) == 2
    assert "seconds" in capsys.readouterr().err


def test_a_model_of_one_history_has_no_twin_and_that_is_said(
    elsewhere: Path, short: Suite, capsys: pytest.CaptureFixture[str]
) -> None:
    name = written(elsewhere, "knows_eight", "return self.frame\n\n    histories = (8,)")
    assert bench(short, name, "out=a", "twin=true", "tasks=[needle]") == 0
    twin = results("a")["models"][f"{name},history=window"]
    assert not twin["episodes"] and "no twin that forgets more" in next(iter(twin["skipped"].values()))
