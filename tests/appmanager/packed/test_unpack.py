"""What is packed is unpacked, byte for byte; what is damaged or hostile is refused, and nothing of it is left."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from appmanager.packed.contents import Header, Listed, line
from appmanager.packed.errors import BundleInvalid
from appmanager.packed.limits import Limits
from appmanager.packed.names import CONTENTS
from appmanager.packed.unpack import Unpacked, unpack
from appmanager.packed.writer import Archive
from appmanager.packed.zipform import CENTRAL, END, ZipEntry
from appmanager.store.disk import RealDisk
from tests.appmanager.packed.making import files_of, packed

HEADER = Header(1, "lamp", "1.0.0")


def _unpack(tmp_path: Path, body: bytes, limits: Limits | None = None, digest: str = "") -> Unpacked:
    file, to = tmp_path / "lamp.glb", tmp_path / "to"
    file.write_bytes(body)
    try:
        return unpack(RealDisk(), file, to, limits=limits or Limits(), digest=digest)
    except BundleInvalid:
        assert not to.exists(), "something is left"
        assert sorted(path.name for path in tmp_path.iterdir() if path.name != "files") == ["lamp.glb"]
        raise


def forged(*names: str, listed: tuple[str, ...] | None = None, body: bytes = b"x") -> bytes:
    """A bundle with these entries, right in all but what is asked for."""
    out = io.BytesIO()
    archive = Archive(out)
    digest = hashlib.sha256(body).hexdigest()
    lines = [line(Listed(name, len(body), digest)) for name in (names if listed is None else listed)]
    archive.add(CONTENTS, [line(HEADER), *lines])
    for name in names:
        archive.add(name, [body])
    archive.close()
    return out.getvalue()


def test_a_bundle_is_unpacked_as_it_was_packed(tmp_path: Path) -> None:
    """Files, their content and which of them are programs."""
    files = files_of() | {"lamp/tool.sh": b"#!/bin/sh\n", "empty.txt": b"", "lamp/Ünder.py": b"1"}
    body, digest = packed(tmp_path, files)
    found = _unpack(tmp_path, body, digest=digest)
    assert (found.header.name, found.digest, found.files) == ("lamp", digest, len(files))
    for path, content in files.items():
        assert (tmp_path / "to" / path).read_bytes() == content
    assert hashlib.sha256((tmp_path / "to" / CONTENTS).read_bytes()).hexdigest() == digest


def test_the_same_files_give_the_same_bytes_whatever_their_times_and_order(tmp_path: Path) -> None:
    """So that two people who pack one version have one digest, and a diff tells what is different."""
    files = files_of()
    first = packed(tmp_path / "a", files)
    (tmp_path / "a" / "files" / "module.json").touch()
    second = packed(tmp_path / "b", dict(reversed(files.items())))
    assert first == second
    with zipfile.ZipFile(io.BytesIO(first[0])) as other_reader:
        assert other_reader.testzip() is None
        assert set(other_reader.namelist()) == {CONTENTS, *files}


NAMES = {
    "../evil": "leaves the bundle",
    "lamp/../../evil": "leaves the bundle",
    "/etc/passwd": "absolute",
    "C:/evil": "absolute",
    "lamp\\evil": "backslash",
    "lamp//evil": "empty part",
    "./evil": "empty part",
    "lamp/\x00evil": "control character",
    "lamp/\nevil": "control character",
    "a/" * 40 + "evil": "too long",
    "x" * 300: "too long",
    "lamp/u\u0308": "accents",
}


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_name_that_is_no_file_of_the_bundle_is_refused(tmp_path: Path, name: str) -> None:
    """Zip slip and its relatives."""
    with pytest.raises(BundleInvalid, match=NAMES[name]):
        _unpack(tmp_path, forged(name))
    assert not (tmp_path.parent / "evil").exists()


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (("lamp.py", "Lamp.py"), "differ in case alone"),
        (("lamp/a.py", "LAMP/b.py"), "differ in case alone"),
        (("straße", "STRASSE"), "differ in case alone"),
        (("lamp", "lamp/a.py"), "a file and a directory"),
        (("lamp.py", "lamp.py"), "twice"),
        (("b.py", "a.py"), "not in its place"),
    ],
)
def test_names_that_clash_are_refused(tmp_path: Path, names: tuple[str, ...], why: str) -> None:
    """On a card formatted elsewhere one file would overwrite the other."""
    with pytest.raises(BundleInvalid, match=why):
        _unpack(tmp_path, forged(*names))


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (stat.S_IFLNK, "symbolic link"),
        (stat.S_IFCHR, "device"),
        (stat.S_IFBLK, "device"),
        (stat.S_IFIFO, "pipe"),
        (stat.S_IFDIR, "directory entry"),
    ],
)
def test_what_is_no_file_is_refused(tmp_path: Path, kind: int, why: str) -> None:
    """A link unpacked first lets the next file leave the bundle."""
    body = bytearray(forged("evil"))
    at = body.rindex(b"PK\x01\x02")
    body[at + 38 : at + 42] = struct.pack("<I", (kind | 0o644) << 16)
    with pytest.raises(BundleInvalid, match=why):
        _unpack(tmp_path, bytes(body))


def _central(body: bytes, change: Callable[[ZipEntry], ZipEntry], *, local_too: bool = True) -> bytes:
    """The zip with its last entry changed."""
    from appmanager.packed.zipform import read_central  # noqa: PLC0415

    at = body.rindex(b"PK\x01\x02")
    entry = read_central(body[at : at + CENTRAL.size], body[at + CENTRAL.size : -END.size])
    new = change(entry)
    found = body[:at] + new.central() + body[-END.size :]
    if local_too:
        found = found[: entry.offset] + new.local() + found[entry.offset + len(entry.local()) :]
    return found


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    """By what it says of itself; 4 GB is all that this form can say."""
    body = _central(forged("bomb", body=bytes(10_000_000)), lambda entry: replace(entry, size_bytes=4_000_000_000))
    assert len(body) < 12_000
    with pytest.raises(BundleInvalid, match="unpacks to 4000000000 bytes, 536870912 are allowed"):
        _unpack(tmp_path, body)
    with pytest.raises(BundleInvalid, match="unpacks to more than 1000 bytes"):
        _unpack(tmp_path, forged("a", "b", "c", body=bytes(400)), Limits(unpacked_bytes=1000))
    with pytest.raises(BundleInvalid, match="1000 are free: make room"):
        _unpack(tmp_path, forged("a", body=bytes(4000)), Limits(free_bytes=1000))


def test_a_zip_bomb_that_lies_is_stopped_where_the_lie_is_seen(tmp_path: Path) -> None:
    """Ten thousand million zeros behind a header that says ten bytes."""
    body = _central(forged("bomb", body=bytes(50_000_000)), lambda entry: replace(entry, size_bytes=10))
    with pytest.raises(BundleInvalid, match=r"size or mode|holds more than the 10 bytes"):
        _unpack(tmp_path, body)
    contents = line(HEADER) + line(Listed("bomb", 10, "0" * 64))
    out = io.BytesIO()
    archive = Archive(out)
    archive.add(CONTENTS, [contents])
    archive.add("bomb", [bytes(1_000_000)] * 50)
    archive.close()
    body = _central(out.getvalue(), lambda entry: replace(entry, size_bytes=10))
    with pytest.raises(BundleInvalid, match="holds more than the 10 bytes"):
        _unpack(tmp_path, body)


def test_overlapping_entries_are_refused(tmp_path: Path) -> None:
    """How a small file becomes petabytes without being nested: many entries, one piece of data."""
    body = _central(forged("a", "b"), lambda entry: replace(entry, offset=0), local_too=False)
    with pytest.raises(BundleInvalid, match="overlaps"):
        _unpack(tmp_path, body)


def test_a_million_entries_are_refused_at_once(tmp_path: Path) -> None:
    """Each would take an inode and a millisecond."""
    entry = ZipEntry("a", 0o644, 0, 2, 0, 0)
    body = entry.central() * 60_000
    end = END.pack(b"PK\x05\x06", 0, 0, 60_000, 60_000, len(body), 0, 0)
    with pytest.raises(BundleInvalid, match="60000 entries, expected 1 to 20001"):
        _unpack(tmp_path, body + end)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as million:  # zip64, as a million needs
        for number in range(70_000):
            million.writestr(str(number), b"")
    with pytest.raises(BundleInvalid, match=r"truncated, or no file|doesn't fit|no file of"):
        _unpack(tmp_path, out.getvalue())


def test_a_file_cut_off_at_any_byte_is_refused(tmp_path: Path) -> None:
    """A transfer that ended early."""
    body, _ = packed(tmp_path, {"module.json": files_of()["module.json"], "lamp.py": b"1"})
    for size in range(len(body)):
        with pytest.raises(BundleInvalid):
            _unpack(tmp_path, body[:size])


def test_a_changed_byte_anywhere_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    """By the digest that was ordered: the list is checked against it, and every file against the list."""
    body, digest = packed(tmp_path, {"module.json": files_of()["module.json"], "lamp.py": b"1" * 50})
    for at in range(len(body)):
        changed = bytearray(body)
        changed[at] ^= 0x21
        with pytest.raises(BundleInvalid):
            _unpack(tmp_path, bytes(changed), digest=digest)


def test_the_wrong_digest_is_refused_before_the_first_file_is_unpacked(tmp_path: Path) -> None:
    """A bundle that is right in itself, and another one."""
    with pytest.raises(BundleInvalid, match=r"expected the bundle of digest 000000.*, got "):
        _unpack(tmp_path, forged("a"), digest="0" * 64)


@pytest.mark.parametrize(
    ("names", "listed", "why"),
    [
        (("a", "b"), ("a",), "'b' is not in the list"),
        (("a",), ("a", "b"), "'b' is in the list of files, and missing"),
        (("a", "c"), ("a", "b", "c"), "'b' is in the list of files, and missing"),
        (("a", "b", "c"), ("a", "c"), "'b' is not in the list"),
        ((), ("a",), "'a' is in the list of files, and missing"),
    ],
)
def test_a_file_that_is_not_listed_and_one_that_is_missing_are_refused(
    tmp_path: Path, names: tuple[str, ...], listed: tuple[str, ...], why: str
) -> None:
    """What isn't in the list has no digest."""
    with pytest.raises(BundleInvalid, match=why):
        _unpack(tmp_path, forged(*names, listed=listed))


def test_content_that_is_not_what_the_list_says_is_refused(tmp_path: Path) -> None:
    """A file was replaced, and the zip's own checksum with it."""
    out = io.BytesIO()
    archive = Archive(out)
    archive.add(CONTENTS, [line(HEADER), line(Listed("a", 4, hashlib.sha256(b"good").hexdigest()))])
    archive.add("a", [b"evil"])
    archive.close()
    with pytest.raises(BundleInvalid, match="digest of its content"):
        _unpack(tmp_path, out.getvalue())


@pytest.mark.parametrize("program", ["zip", "tar", "text", "empty"])
def test_other_files_are_refused_with_what_was_expected(tmp_path: Path, program: str) -> None:
    """Someone zips a directory by hand, or takes the wrong file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("module.json", json.dumps({"name": "lamp"}))
    body = {"zip": out.getvalue(), "tar": bytes(10240), "text": b"hello", "empty": b""}[program]
    with pytest.raises(BundleInvalid, match="gridlink pack"):
        _unpack(tmp_path, body)


@pytest.mark.parametrize(
    "contents",
    [b"", b"{}\n", b"[]\n", b'{"form": 2, "name": "lamp", "version": "1.0.0"}\n', b"x" * 20_000, b"\xff\xfe\n",
     line(HEADER) + b'{"path": "a", "size_bytes": -1, "sha256": "x"}\n', line(HEADER) + b"y" * 20_000],
    ids=range(8),
)  # fmt: skip
def test_a_list_that_is_none_is_refused(tmp_path: Path, contents: bytes) -> None:
    """Junk of all kinds."""
    out = io.BytesIO()
    archive = Archive(out)
    archive.add(CONTENTS, [contents])
    archive.add("a", [b"x"])
    archive.close()
    with pytest.raises(BundleInvalid, match="list of files"):
        _unpack(tmp_path, out.getvalue())


def test_a_directory_that_is_there_already_is_left_alone(tmp_path: Path) -> None:
    """Neither filled nor removed."""
    body, _ = packed(tmp_path, files_of())
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "mine").write_text("work of hours")
    (tmp_path / "lamp.glb").write_bytes(body)
    with pytest.raises(FileExistsError):
        unpack(RealDisk(), tmp_path / "lamp.glb", tmp_path / "to")
    assert (tmp_path / "to" / "mine").exists()
