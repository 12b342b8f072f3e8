"""Episodes as a LeRobot data set, version 3.0: Parquet for the numbers, lossy H.264 for the pictures (extra `lerobot`).

The layout is that of LeRobot's documentation and source: meta/info.json, meta/stats.json, meta/tasks.parquet, and
meta/episodes, data and videos in chunk-000/file-000. Here every episode has files of its own, so that an interrupted
run can go on. Not read by LeRobot itself where this was written.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.episodes.episode import Episode
from training.convert.lerobot_info import (
    DATA,
    EPISODES,
    FILES_A_CHUNK,
    PICTURE,
    STATE,
    VIDEO,
    begin,
    check,
    info,
    put_json,
    tasks,
)
from worldsim.session.sinks import video_encoder


class PyarrowMissing(ValueError):
    """The library that writes Parquet is not installed."""


def write(episode: Episode, folder: Path, name: str) -> Path:
    """Add an episode to the data set in ``folder``; :func:`finish` completes it.

    Actions are raw values, one column a number, a Discrete as its number; ``observation.state`` is the pose, where
    there is one. The pictures lose a little: ``meta/info.json`` says so.

    Raises:
        BadFile: the episode is of another world, size or action language than those before it, or of an odd size.
        PyarrowMissing: the library is not installed.
    """
    pa, pq = _pyarrow()
    summary = info(episode)
    check(folder, summary, episode)
    before = _newest(folder, pq)
    if (
        before is not None and before["worldsim/name"] == name
    ):  # written whole by a run that was then interrupted
        return folder
    index = 0 if before is None else int(before["episode_index"]) + 1
    first = 0 if before is None else int(before["dataset_to_index"])
    place = {"chunk_index": index // FILES_A_CHUNK, "file_index": index % FILES_A_CHUNK}
    columns, frames, fps = _columns(episode), episode.frames(), int(summary["fps"])
    begin(folder, summary)
    n = len(frames)
    rows = {key: _list(pa, value) for key, value in columns.items()}
    rows |= {
        "timestamp": pa.array(np.arange(n, dtype=np.float32) / fps),
        "frame_index": pa.array(np.arange(n)),
        "episode_index": pa.array(np.full(n, index)),
        "index": pa.array(np.arange(first, first + n)),
        "task_index": pa.array(np.zeros(n, np.int64)),
    }
    _put(pq, pa.table(rows), folder / DATA.format(**place))
    _save_video(folder / VIDEO.format(video_key=PICTURE, **place), frames, fps)
    about: dict[str, Any] = {
        "episode_index": index,
        "tasks": [_task(episode)],
        "length": n,
        **{f"data/{key}": value for key, value in place.items()},
        "dataset_from_index": first,
        "dataset_to_index": first + n,
        **{f"videos/{PICTURE}/{key}": value for key, value in place.items()},
        f"videos/{PICTURE}/from_timestamp": 0.0,
        f"videos/{PICTURE}/to_timestamp": n / fps,
        **{f"meta/episodes/{key}": value for key, value in place.items()},
        "worldsim/name": name,
    }
    stats = {key: _stats(value) for key, value in columns.items()} | {PICTURE: _picture_stats(frames)}
    about |= {f"stats/{key}/{what}": v for key, values in stats.items() for what, v in values.items()}
    # Last, for an episode is there when it is listed.
    _put(pq, pa.Table.from_pylist([about]), folder / EPISODES.format(**place))
    return folder


def finish(folder: Path) -> None:
    """Write what belongs to all episodes together: the totals in info.json, the tasks, the statistics."""
    pa, pq = _pyarrow()
    listed = [
        pq.read_table(path).to_pylist()[0] for path in sorted((folder / "meta/episodes").glob("*/*.parquet"))
    ]
    if not listed:
        return
    about = json.loads((folder / "meta/info.json").read_text())
    about |= {
        "total_episodes": len(listed),
        "total_frames": int(listed[-1]["dataset_to_index"]),
        "total_tasks": 1,
        "splits": {"train": f"0:{len(listed)}"},
    }
    put_json(folder / "meta/info.json", about)
    numbers = [k for k, f in about["features"].items() if f"stats/{k}/mean" in listed[0]]
    put_json(folder / "meta/stats.json", {key: _together(listed, key) for key in numbers})
    _put(pq, tasks(pa, listed[0]["tasks"][0]), folder / "meta/tasks.parquet")


def _columns(episode: Episode) -> dict[str, NDArray[Any]]:
    """The numbers of all T+1 frames; what belongs to a step stands at the frame it leads from."""
    steps, n = episode.steps, len(episode)
    parts = []
    for field in episode.meta["action_spec"]["fields"]:
        raw = steps[f"action.{field['name']}" if field["name"] else "action"]
        parts.append(raw.reshape(n - 1, -1).astype(np.float32))
    columns: dict[str, NDArray[Any]] = {"action": _padded(np.concatenate(parts, 1))}
    if episode.poses is not None:
        columns[STATE] = np.asarray(episode.poses, np.float32)
    columns["next.reward"] = _padded(steps["reward"].astype(np.float32))
    columns["next.done"] = np.append(steps["terminated"] | steps["truncated"], True)
    return columns


def _padded(rows: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([rows, np.zeros_like(rows[:1])])


def _task(episode: Episode) -> str:
    return f"play {episode.meta['env_id']}"


def _stats(values: NDArray[Any]) -> dict[str, Any]:
    x = values.reshape(len(values), -1).astype(np.float64)
    return {
        "min": x.min(0).tolist(),
        "max": x.max(0).tolist(),
        "mean": x.mean(0).tolist(),
        "std": x.std(0).tolist(),
        "count": [len(x)],
    }


def _picture_stats(frames: NDArray[np.uint8]) -> dict[str, Any]:
    """Of each channel, in [0, 1]: (3, 1, 1) as LeRobot has it; the count is of frames."""
    pixels = frames.reshape(-1, 3)
    found = _stats(pixels)
    scaled = {k: [[[v / 255]] for v in found[k]] for k in ("min", "max", "mean", "std")}
    return {**scaled, "count": [len(frames)]}


def _together(listed: list[dict[str, Any]], key: str) -> dict[str, Any]:
    """Statistics of several episodes as one."""

    def of(what: str) -> NDArray[np.float64]:
        return np.array([row[f"stats/{key}/{what}"] for row in listed], np.float64)

    mean, std, count = of("mean"), of("std"), of("count")
    weight = count.reshape(-1, *[1] * (mean.ndim - 1)) / count.sum()
    middle = (weight * mean).sum(0)
    spread = np.sqrt((weight * (std**2 + (mean - middle) ** 2)).sum(0))
    return {
        "min": of("min").min(0).tolist(),
        "max": of("max").max(0).tolist(),
        "mean": middle.tolist(),
        "std": spread.tolist(),
        "count": [int(count.sum())],
    }


def _newest(folder: Path, pq: Any) -> dict[str, Any] | None:
    """What is listed of the newest episode."""
    paths = sorted((folder / "meta/episodes").glob("*/*.parquet"))
    return pq.read_table(paths[-1]).to_pylist()[0] if paths else None


def _list(pa: Any, values: NDArray[Any]) -> Any:
    if values.ndim == 1:
        return pa.array(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def _save_video(path: Path, frames: NDArray[np.uint8], fps: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    video_encoder.write(str(temporary), fps, frames, crf="18", g="2")  # every other frame can be sought
    temporary.replace(path)


def _put(pq: Any, table: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    pq.write_table(table, temporary, compression="snappy")
    temporary.replace(path)


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise PyarrowMissing(
            f"--to lerobot needs the pyarrow library, which is not here ({error}): pip install pyarrow"
        ) from None
    return pyarrow, pyarrow.parquet
