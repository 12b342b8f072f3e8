"""A zip of somebody else: how much it says to hold is checked before any of it is read."""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

from envs.episodes import limits
from envs.episodes.format import EpisodeError
from envs.episodes.open_files import too_many
from envs.episodes.section import Section, SectionLost, stream

_HEAD = 30  # bytes before a member's name
_END = b"PK\x05\x06"  # the record at the end of every zip, 22 bytes and a comment


def open_archive(path: Path, section: Section | None = None) -> zipfile.ZipFile:
    """The zip at ``path`` or in ``section``, open, if neither its table of contents nor what it holds is too large.

    Raises:
        EpisodeError: it is no whole zip, no plain file, or holds too much.
        FileNotFoundError, PermissionError: it is not there, or may not be read.
        OSError: this process has too many files open.
    """
    if section is None and not stat.S_ISREG(path.stat().st_mode):
        raise EpisodeError(f"{path} is no recorded episode: expected a file, a zip")
    try:
        with path.open("rb") if section is None else stream(section) as file:
            length = file.seek(0, io.SEEK_END)
            if _directory(file, length) > limits.DIRECTORY:
                raise EpisodeError(
                    f"{path} has a table of contents of more than {limits.DIRECTORY >> 20} MiB"
                )
        archive = zipfile.ZipFile(path if section is None else stream(section))
    except (FileNotFoundError, PermissionError, EpisodeError, SectionLost):
        raise
    except limits.DAMAGE as error:
        if too_many(error):
            raise
        raise EpisodeError(
            f"{path} is no recorded episode, or only the beginning of one: expected a whole zip"
        ) from None
    held = sum(info.file_size for info in archive.filelist)
    if held > limits.GROWTH * length + 16 * limits.MIB:
        archive.close()
        raise EpisodeError(
            f"{path} says to hold {held / limits.MIB:.0f} MiB in a file of {length / limits.MIB:.1f}, "
            "far more than a recording does; it is not opened"
        )
    return archive


def read_member(
    archive: zipfile.ZipFile, name: str, most: int, path: Path, section: Section | None = None
) -> bytes:
    """The bytes of one member, at most ``most``; of a stored one in a ``section`` by one reading of it.

    Raises:
        EpisodeError: it is missing, damaged, or larger.
    """
    info = archive.NameToInfo.get(name)
    if info is None:
        raise EpisodeError(f"{path} is a zip but no whole episode: {name} is missing in it")
    if info.file_size > most:
        raise EpisodeError(
            f"{path}: {name} says to have {info.file_size / limits.MIB:.0f} MiB, at most {most >> 20} are read"
        )
    try:
        if section is not None and info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1:
            return _stored(section, info)
        return archive.read(info)
    except SectionLost:
        raise
    except limits.DAMAGE as error:
        raise EpisodeError(f"{path}: {name} is damaged: {error or type(error).__name__}") from None


def _stored(section: Section, info: zipfile.ZipInfo) -> bytes:
    """A member that is not compressed, with all that zipfile compares and without its steps in between."""
    begins, name = info.header_offset, info.orig_filename.encode()
    data = section.read_at(begins, begins + _HEAD + len(name) + info.file_size)
    if (
        data[:4] != b"PK\x03\x04"
        or info.compress_size != info.file_size
        or data[_HEAD : _HEAD + len(name)] != name
    ):
        raise zipfile.BadZipFile("its header is not that of the table of contents")
    length, extra = (int.from_bytes(data[i : i + 2], "little") for i in (26, 28))
    first = _HEAD + length + extra
    if extra or length != len(name):
        data = section.read_at(begins, begins + first + info.file_size)
    found = data[first : first + info.file_size]
    if len(found) != info.file_size or zlib.crc32(found) != info.CRC:
        raise zipfile.BadZipFile(f"Bad CRC-32 for file {info.filename!r}")
    return found


def _directory(file: BinaryIO, length: int) -> int:
    """Bytes of the table of contents, as the end of the file says; the largest number in a zip of more than 4 GiB."""
    file.seek(max(0, length - 22 - 65_535))
    tail = file.read()
    end = tail.rfind(_END)
    if end < 0 or len(tail) < end + 22:
        return 0
    size, start = (int.from_bytes(tail[end + i : end + i + 4], "little") for i in (12, 16))
    if size == 0xFFFFFFFF or start == 0xFFFFFFFF:  # the numbers that count stand in a record before this one
        before = tail.rfind(b"PK\x06\x06", 0, end)
        return int.from_bytes(tail[before + 40 : before + 48], "little") if before >= 0 else 0
    return size
