"""A run whose folder is in a store goes on whatever was left half written here."""

from __future__ import annotations

from pathlib import Path

from training.loop.mirror import RECORD, Mirror

STORE = "memory://mirror/run"


def test_a_record_that_was_cut_short_is_no_reason_to_stop(tmp_path: Path) -> None:
    here = Mirror(tmp_path / "here", STORE)
    (here.folder / "state.bin").write_bytes(b"one")
    here.push()
    record = here.folder / RECORD
    record.write_text(record.read_text()[:10])
    again = Mirror(here.folder, STORE)
    again.pull()
    again.push()
    assert (here.folder / "state.bin").read_bytes() == b"one"
    other = Mirror(tmp_path / "elsewhere", STORE)
    other.pull()
    assert (other.folder / "state.bin").read_bytes() == b"one"
    assert not list(here.folder.glob("*.new"))
