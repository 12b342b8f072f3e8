"""Print a table and draw a picture: python -m training.report NAME [key=value ...]

theory       error budget and noise levels of a method   method=fifo out=fifo.png horizon=10 window=8
convergence  KL against steps M and horizon T, where the score is known   out=convergence.png
curves       loss curves of every run in a folder        runs=runs/variants scalar=train/error out=curves.png
srr          what the SRR judge accepts, and its agreement with a person   sheet=sheet.png readings=readings.json
study        every table of the study on disk as one HTML page   results=results out=study.html
moving       a moving picture for a page, of a video  video=docs/blocks.mp4 out=docs/blocks.webp start=0 seconds=8

`out` is the PNG to write; without it nothing is drawn. The last line is one JSON object with every number.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

from worldsim.cli.command import command

NAMES = ("theory", "convergence", "curves", "srr", "study", "moving")  # each a module with run(args) -> dict


@command
def main(args: list[str]) -> None:
    """Run the report named first."""
    if not args or args[0] not in NAMES:
        raise ValueError(f"expected a report of {', '.join(NAMES)}, found {args[0] if args else 'none'}")
    found: dict[str, Any] = importlib.import_module(f"training.report.{args[0]}").run(args[1:])
    print(json.dumps({"report": args[0], **found}))


if __name__ == "__main__":
    sys.exit(main())
