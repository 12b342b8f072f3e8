"""What a LeRobot data set says of itself: meta/info.json and meta/tasks.parquet, version 3.0."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from envs.episodes.episode import Episode
from training.convert.recording import BadFile

VERSION = "v3.0"
PICTURE, STATE = "observation.images.pov", "observation.state"
FILES_A_CHUNK = 1000
RATES = {"minecraft": 20, "dmlab": 15, "doom": 17}  # steps a second of live play; 30 of any other world
ALIGNMENT = (
    "the action of row i leads from frame i to frame i+1; the last row of an episode has none, all zero"
)
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"


def info(episode: Episode) -> dict[str, Any]:
    """info.json of a data set of episodes like this one, still empty."""
    meta, size = episode.meta, int(episode.meta["size"])
    fps = RATES.get(meta["family"], 30)
    names: list[str] = []
    for field in meta["action_spec"]["fields"]:
        count = int(np.prod(field.get("shape", (1,))))
        label = field["name"] or "action"
        names += [label] if count == 1 else [f"{label}_{i}" for i in range(count)]
    video = {
        "video.height": size,
        "video.width": size,
        "video.codec": "h264",
        "video.pix_fmt": "yuv420p",
        "video.is_depth_map": False,
        "video.fps": fps,
        "video.channels": 3,
        "has_audio": False,
    }
    features: dict[str, Any] = {
        PICTURE: {
            "dtype": "video",
            "shape": [size, size, 3],
            "names": ["height", "width", "channels"],
            "info": video,
        },
        "action": {"dtype": "float32", "shape": [len(names)], "names": names},
        "next.reward": {"dtype": "float32", "shape": [1], "names": None},
        "next.done": {"dtype": "bool", "shape": [1], "names": None},
        "timestamp": {"dtype": "float32", "shape": [1], "names": None},
        **{
            key: {"dtype": "int64", "shape": [1], "names": None}
            for key in ("frame_index", "episode_index", "index", "task_index")
        },
    }
    if episode.poses is not None:
        features[STATE] = {"dtype": "float32", "shape": [5], "names": ["x", "y", "z", "yaw", "pitch"]}
    facts = {"alignment": ALIGNMENT, "lossless": False}
    facts |= {
        key: meta.get(key) for key in ("env_id", "env_version", "backend", "family", "fov", "action_spec")
    }
    return {
        "codebase_version": VERSION,
        "robot_type": meta["family"],
        "total_episodes": 0,
        "total_frames": 0,
        "total_tasks": 0,
        "chunks_size": FILES_A_CHUNK,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": fps,
        "splits": {},
        "data_path": DATA,
        "video_path": VIDEO,
        "features": features,
        "worldsim": facts,
    }


def check(folder: Path, summary: dict[str, Any], episode: Episode) -> None:
    """Whether an episode fits those that are there.

    Raises:
        BadFile: the episode is of another world, size or action language, or of an odd size.
    """
    size, path = int(episode.meta["size"]), folder / "meta/info.json"
    if size % 2:
        raise BadFile(f"expected an even size for H.264, found {size} pixels")
    if not path.is_file():
        return
    there = json.loads(path.read_text())
    for key in ("features", "worldsim"):
        if there[key] != json.loads(json.dumps(summary[key])):
            raise BadFile(
                f"{episode.path} is of another world, size or action language than those in {folder}"
            )


def begin(folder: Path, summary: dict[str, Any]) -> None:
    """Write info.json with the first episode that is whole; the others must fit it."""
    if not (path := folder / "meta/info.json").is_file():
        put_json(path, summary)


def tasks(pa: Any, task: str) -> Any:
    """The tasks as LeRobot reads them: a pandas table whose index is the words, made without pandas."""
    index = "__index_level_0__"
    column = {"metadata": None, "field_name": "task_index", "name": "task_index"}
    columns = [
        {**column, "pandas_type": "int64", "numpy_type": "int64"},
        {**column, "name": None, "field_name": index, "pandas_type": "unicode", "numpy_type": "object"},
    ]
    heads = {"name": None, "field_name": None, "pandas_type": "unicode", "numpy_type": "object"}
    summary = {
        "index_columns": [index],
        "column_indexes": [{**heads, "metadata": {"encoding": "UTF-8"}}],
        "columns": columns,
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.0.0",
    }
    table = pa.table({"task_index": pa.array([0], pa.int64()), index: pa.array([task])})
    return table.replace_schema_metadata({"pandas": json.dumps(summary)})


def put_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(content, indent=4) + "\n")
    temporary.replace(path)
