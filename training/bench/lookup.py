"""Whether the models that were asked for are there at all: a name that is misspelt ends a bench before it measures or
writes anything."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from importlib.metadata import entry_points
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from worldsim.dream import external
from worldsim.dream.context import DreamError

if TYPE_CHECKING:  # a process that only looks needs no torch
    from training.bench.config import Config
    from training.bench.models import Model


def check(models: list[Model], config: Config) -> None:
    """Look for every model by its name. One that is there and does not import, or hangs, breaks later, by itself.

    Raises:
        DreamError: no such module, or nothing in it of this name that makes a model.
        CheckpointError, MethodError: no such checkpoint or method.
    """
    from training.bench.models import TRUTH
    from worldsim import checkpoint
    from worldsim.diffusion.methods import method

    given = {point.name for point in entry_points(group=external.GROUP)}
    foreign = []
    for model in models:
        if "method" in model.settings:
            method(model.settings["method"])
        if model.label == TRUTH or external.is_remote(model.name):
            continue
        if external.FACTORY.fullmatch(model.name) or model.name in given:
            foreign.append(model.name)
        else:
            checkpoint.describe(model.name)
    for missing in (_found_apart if config.isolate else _found_here)(foreign, config.load_seconds):
        if missing:
            raise DreamError(missing)


def _found_here(names: list[str], seconds: float) -> Iterator[str]:
    from training.bench.dependencies import note

    for name in names:
        note(True)
        try:
            yield _missing(name)
        finally:
            note(False)


def _found_apart(names: list[str], seconds: float) -> Iterator[str]:
    """In a process of its own, which is left as soon as an import ends it or takes too long."""
    if not names:
        return
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(names, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        for _ in names:
            if not ours.poll(seconds):
                return
            yield ours.recv()
    except EOFError:
        return
    finally:
        process.kill()
        process.join()
        ours.close()


def _child(names: list[str], pipe: Connection) -> None:
    try:
        for name in names:
            pipe.send(_missing(name))
    except (KeyboardInterrupt, BrokenPipeError):
        pass


def _missing(name: str) -> str:
    """What is not there of a name; empty where it is, whatever else is wrong with it."""
    try:
        external.find(name)
    except DreamError as error:
        return str(error)
    except Exception:
        return ""
    return ""
