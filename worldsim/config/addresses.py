"""What is named by an address: files in a store (``s3://``, ``gs://``, ``hf://``, ``memory://``, ...), through fsspec.

What comes is there whole or not at all, on both sides. What a store or a network fails at for a while is tried again,
with longer and longer waits; what it goes on failing at is one sentence.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from worldsim.config.loading import ConfigError

TRIES = 4
FIRST_WAIT = 0.5
"""Seconds before the second try; each further wait is twice as long, and up to a half more."""
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub"}
"""What a protocol takes, where fsspec alone does not do."""
REPLACES = {"s3", "s3a", "gs", "gcs", "hf", "memory", "az", "abfs", "adl", "oss", "oci"}
"""Protocols whose objects appear at once; elsewhere a file is written under another name and moved."""

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+)://(.+)", re.IGNORECASE | re.DOTALL)
_LASTING = (
    *(FileNotFoundError, PermissionError, FileExistsError, IsADirectoryError, NotADirectoryError),
    *(NotImplementedError, TypeError, ValueError, LookupError),
)
_LASTING_NAMES = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound")  # of botocore
T = TypeVar("T")


class StoreError(ValueError):
    """A store that cannot be spoken to, or that does not have what was asked for."""


@dataclass(frozen=True)
class Entry:
    """A file in a store: its bytes, and a mark that changes when it does."""

    size: int
    tag: str


def is_address(name: object) -> bool:
    """Whether a name is PROTOCOL://..., and no path of this machine."""
    found = _ADDRESS.fullmatch(name) if isinstance(name, str) else None
    return found is not None and found[1].lower() not in ("file", "local", "ws", "wss")


def local_path(name: str | Path) -> Path:
    """A name that is no address as a path; ``file://`` may stand before it."""
    return Path(re.sub(r"^(file|local)://", "", str(name)))


def join(folder: str | Path, name: str) -> str:
    """The address of a file in a folder."""
    return f"{str(folder).rstrip('/')}/{name}"


def entries(folder: str) -> dict[str, Entry]:
    """The files that lie in a folder of a store, by name; none where there is no such folder."""
    rows = _listed(folder)
    return {str(r["name"]).rpartition("/")[2]: _entry(r) for r in rows if r["type"] == "file"}


def folders(folder: str) -> list[str]:
    """The names of the folders in a folder of a store, sorted."""
    rows = _listed(folder)
    return sorted(str(r["name"]).rstrip("/").rpartition("/")[2] for r in rows if r["type"] == "directory")


def entry(address: str) -> Entry | None:
    """What a store says of one file; None where it has no such file."""
    store, path = _opened(address)

    def work() -> Entry | None:
        store.invalidate_cache()
        try:
            row = store.info(path)
        except FileNotFoundError:
            return None
        return _entry(row) if row["type"] == "file" else None

    return _tried(work, address)


def read(address: str, start: int = 0, stop: int | None = None) -> bytes:
    """Bytes ``start`` to ``stop`` (excluded; None: to the end) of a file.

    Raises:
        StoreError: there is no such file, or the store cannot be spoken to, or it gave fewer.
    """
    store, path = _opened(address)

    def work() -> bytes:
        data: bytes = store.cat_file(path, start=start or None, end=stop)
        if stop is not None and len(data) != stop - start:
            raise OSError(f"expected {stop - start} bytes, found {len(data)}")
        return data

    return _tried(work, address)


def write(address: str, data: bytes) -> None:
    """Make a file of these bytes, whole or not at all.

    Raises:
        StoreError: it cannot be written there.
    """
    store, path = _opened(address)
    _put(store, path, address, lambda to: store.pipe_file(to, data))


def upload(file: Path, address: str) -> None:
    """Bring a file of this machine to a store, whole or not at all.

    Raises:
        StoreError: it cannot be written there; the file stays as it is.
    """
    store, path = _opened(address)
    _put(store, path, address, lambda to: store.put_file(str(file), to))


def download(address: str, file: Path) -> None:
    """Bring a file of a store here, whole or not at all.

    Raises:
        StoreError: there is no such file, or the store cannot be spoken to.
        OSError: it cannot be written here.
    """
    store, path = _opened(address)
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.{os.getpid()}.new")

    def work() -> None:
        store.get_file(path, str(new))
        expected, found = int(store.info(path)["size"]), new.stat().st_size
        if found != expected:
            raise OSError(f"expected {expected} bytes, found {found}")

    try:
        _tried(work, address)
        new.replace(file)
    finally:
        with suppress(OSError):
            new.unlink(missing_ok=True)


def here(name: str | Path) -> Path:
    """The path of a file: its own, or that of a copy in the user's cache, fetched where it is missing or old.

    Raises:
        StoreError: as :func:`download`.
    """
    if not is_address(name):
        return local_path(name)
    address = str(name)
    if (found := entry(address)) is None:
        raise StoreError(f"there is no {address}")
    file = cache() / "files" / digest(address, found.tag) / address.rpartition("/")[2]
    if not file.exists():
        download(address, file)
    return file


def prepare_output(word: str, name: str, *endings: str, store: bool = False) -> None:
    """Refuse what a result cannot be written to later, and make its folder; an empty name is none.

    Raises:
        ConfigError: another ending, a folder, or an address where there is no ``store``.
    """
    if not name:
        return
    file, place = local_path(name), "" if store else " of this machine"
    if file.suffix.lower() not in endings or (place and is_address(name)):
        raise ConfigError(f"{word}={name}: expected a file{place} that ends in {' or '.join(endings)}")
    if file.is_dir():
        raise ConfigError(f"{word}={name} is a folder; name a file in it")
    if not is_address(name):
        file.parent.mkdir(parents=True, exist_ok=True)


def write_text(name: str, text: str) -> None:
    """Write a result, to a path or to an address."""
    if is_address(name):
        write(name, text.encode())
    else:
        local_path(name).write_text(text)


def cache() -> Path:
    """Where copies of what stores have are kept: ``WORLDSIM_CACHE``, or a folder in the user's cache."""
    if asked := os.environ.get("WORLDSIM_CACHE"):
        return Path(asked)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "worldsim" / "stores"


def spool(address: str) -> Path:
    """A folder for what is made here for a folder of a store, until it is there."""
    folder = cache() / "spool" / digest(address.rstrip("/"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def digest(*parts: str) -> str:
    """Twenty hex digits that tell these texts from others."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


def _opened(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it."""
    found = _ADDRESS.fullmatch(address)
    assert found is not None, address
    protocol = found[1].lower()
    try:
        store = _file_system(protocol, os.getpid())
    except ImportError as error:
        package = PACKAGES.get(protocol, "a package of fsspec's")
        raise StoreError(
            f"{address} takes {package}, which is not here ({error}): pip install {package}"
        ) from None
    except ValueError as error:
        raise StoreError(f"{address}: {' '.join(str(error).split())}") from None
    return store, str(store._strip_protocol(address))


@lru_cache
def _file_system(protocol: str, process: int) -> Any:
    """The one of this process, for all its threads; fsspec's own are one a thread."""
    import fsspec

    options: dict[str, Any] = {"use_listings_cache": False} if protocol in ("s3", "s3a") else {}
    if protocol in ("s3", "s3a"):  # tries are counted here, once
        options["config_kwargs"] = {"retries": {"max_attempts": 0}, "connect_timeout": 10, "read_timeout": 60}
    return fsspec.filesystem(protocol, skip_instance_cache=True, **options)


def _listed(folder: str) -> list[dict[str, Any]]:
    store, path = _opened(folder)

    def work() -> list[dict[str, Any]]:
        store.invalidate_cache()
        try:
            return list(store.ls(path, detail=True))
        except FileNotFoundError:
            return []

    return _tried(work, folder)


def _put(store: Any, path: str, address: str, put: Callable[[str], Any]) -> None:
    at_once = _ADDRESS.fullmatch(address)[1].lower() in REPLACES  # type: ignore[index]

    def work() -> None:
        if not at_once:
            store.makedirs(path.rpartition("/")[0], exist_ok=True)
        to = path if at_once else f"{path}.{os.getpid()}.new"
        put(to)
        if not at_once:
            store.mv(to, path)

    _tried(work, address)


def _entry(row: dict[str, Any]) -> Entry:
    marks = ("ETag", "etag", "md5Hash", "sha256", "blob_id", "LastModified", "mtime", "created")
    return Entry(int(row["size"]), next((str(row[m]).strip('"') for m in marks if row.get(m)), ""))


def _tried(work: Callable[[], T], address: str) -> T:
    """What ``work`` gives, tried again where a store or a network fails for a while."""
    for attempt in range(1, TRIES + 1):
        try:
            return work()
        except FileNotFoundError:
            raise StoreError(f"there is no {address}") from None
        except Exception as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            if isinstance(error, PermissionError) or type(error).__name__ in _LASTING_NAMES:
                raise StoreError(
                    f"{address} may not be opened with the rights of this user: {reason}"
                ) from None
            if isinstance(error, _LASTING):
                raise
            if attempt == TRIES:
                raise StoreError(
                    f"{address} could not be reached in {TRIES} tries: {reason}; the same command goes on later"
                ) from None
        time.sleep(FIRST_WAIT * 2 ** (attempt - 1) * random.uniform(1, 1.5))
    raise AssertionError
