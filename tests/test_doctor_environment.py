"""The doctor on where a collection lies: its file system, and what is free there."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossfade import doctor
from crossfade.doctor import environment
from examined import only


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/data/kb.cf", "ext4"), ("/mnt/far off/kb.cf", "nfs4"), ("/mnt/kb.cf", "ext4"), ("/mnt/win/kb.cf", "cifs")],
)
def test_the_file_system_is_told(tmp_path: Path, path: str, kind: str) -> None:
    """The mount that a folder lies on decides, also where its name has spaces."""
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/sda / ext4 rw 0 0\nserver:/x /mnt/far\\040off nfs4 rw 0 0\n//server/y /mnt/win cifs rw 0 0\n"
    )
    assert environment.file_system(Path(path), mounts) == kind


def test_a_network_file_system_is_a_problem(kb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS and SMB are named, with what to do."""
    (tmp_path / "mounts").write_text("server:/x / nfs4 rw 0 0\n")
    monkeypatch.setattr(environment, "MOUNTS", tmp_path / "mounts")
    assert "move the folder to a local disk" in only(doctor.examine(kb), "file system").remedy


def test_a_full_disk_is_a_problem(kb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where hardly anything is free, that is said before a write fails."""
    monkeypatch.setattr(environment, "LEAST_FREE", 1 << 62)
    assert "free space" in only(doctor.examine(kb), "disk").remedy
