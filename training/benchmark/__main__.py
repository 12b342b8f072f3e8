"""Time a part of worldsim: python -m training.benchmark NAME [key=value ...]

envs      frames per second of the embedded worlds              size=64 steps=3000 repeats=3
step      milliseconds of one dreamt frame, by phase            checkpoint=blocks frames=200 threads=1 flat=0
engines   the same frames by every engine that is here    checkpoint=blocks frames=60 engines=[] size=0
products  its matrix products and convolutions, way by way      layers=60 repeats=9
luanti    the same frames after a cold start, and how fast      size=128 frames=300 policy=needle
variants  parameters, FLOPs and time of every memory variant    seconds=1 history=48 budget=16 threads=1
train     frames a second of the trainers, in one run           checkpoint=blocks steps=12 threads=2 old=true
cluster   what a task costs here, in a pool, and on Ray         counts=[1,10,100] steps=50 workers=2
reading   frames a second that training reads, by where they lie    data=DIR store=s3://BUCKET/DIR clips=200
ad        AR-Diffusion's scheduler, table 2 of its paper        checkpoint=labmaze_ar_diffusion steps=50 threads=1

The last line is one JSON object that names the hardware.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

import torch

from worldsim.cli.command import command

NAMES = (
    "envs",
    "step",
    "engines",
    "products",
    "luanti",
    "variants",
    "ad",
    "train",
    "cluster",
    "reading",
)  # each a module of this package with run(args) -> dict


@command
def main(args: list[str]) -> None:
    """Run the benchmark named first and print what it found."""
    if not args or args[0] not in NAMES:
        raise ValueError(f"expected a benchmark of {', '.join(NAMES)}, found {args[0] if args else 'none'}")
    threads = torch.get_num_threads()
    try:
        found: dict[str, Any] = importlib.import_module(f"training.benchmark.{args[0]}").run(args[1:])
    finally:
        torch.set_num_threads(threads)
    print(json.dumps({"benchmark": args[0], **found}))


if __name__ == "__main__":
    sys.exit(main())
