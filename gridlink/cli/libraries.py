"""Resolves a bundle's `requirements.txt` into a directory with pip, which runs in a process of its own.

What the host provides (gridlink, and the libraries that `requires` names) is not brought along: pip gets their version
ranges as constraints, so that what is brought fits them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appmanager.packed.target import normal
from gridlink.errors import ModuleInvalid
from gridlink.manifest import Manifest

REQUIREMENTS = "requirements.txt"
WITHIN_S = 1800.0
_NEWEST_GLIBC, _OLDEST_GLIBC = 36, 17  # of the boards: Debian 12, and what manylinux2014 means
_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_NOT_FOR_PIP = frozenset({"PYTHONPATH", "PIP_TARGET", "PIP_USER", "PIP_PREFIX"})
_DROPPED = ("bin", "include", "share")  # scripts with this machine's paths, headers, manuals


@dataclass(frozen=True, slots=True)
class Wanted:
    """For which machine to resolve, and from where. Empty: this one, and pip's own index."""

    platform: str = ""  # `linux-aarch64`, or a tag of wheels (`manylinux2014_aarch64`)
    python: str = ""  # `3.11`
    wheels: Path | None = None


def resolve(requirements: Path, manifest: Manifest, into: Path, wanted: Wanted) -> dict[str, str]:
    """Installs what a requirements file names into a new directory; returns distribution -> version.

    Raises ModuleInvalid: pip can't, or the file names what the host provides.
    """
    hosts = {"gridlink", *map(normal, manifest.libraries)}
    _refuse_host_libraries(requirements, hosts)
    with tempfile.TemporaryDirectory(prefix="gridlink-pack-") as scratch:
        constraints = Path(scratch, "constraints.txt")
        constraints.write_text("".join(f"{line}\n" for line in _constraints(manifest)))
        _run([*_command(wanted), "-r", str(requirements), "-c", str(constraints), "--target", str(into)])
    if not into.is_dir():
        into.mkdir()
    found = dict(_distributions(into))
    for name in [name for name in found if normal(name) in hosts]:
        _drop(into, name)
        del found[name]
    _tidy(into)
    return found


def _refuse_host_libraries(requirements: Path, hosts: set[str]) -> None:
    for line in requirements.read_text(encoding="utf-8").splitlines():
        found = _NAME.match(line)
        if found is not None and normal(found[1]) in hosts:
            raise ModuleInvalid(
                f"{requirements}: {found[1]} comes from the host (gridlink, and what `requires` names): take it out"
            )


def _constraints(manifest: Manifest) -> Iterator[str]:
    for name in manifest.libraries:
        wanted = manifest.requires[name]
        if isinstance(wanted, str):
            yield f"{name}{wanted}"


def _command(wanted: Wanted) -> list[str]:
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-compile",
        "--no-input",
        "--no-warn-script-location",
    ]
    command += ["--disable-pip-version-check", "--root-user-action", "ignore"]
    if wanted.wheels is not None:
        command += ["--no-index", "--find-links", str(wanted.wheels.resolve())]
    if wanted.platform or wanted.python:
        command += ["--only-binary", ":all:", "--implementation", "cp"]
        for tag in platform_tags(wanted.platform):
            command += ["--platform", tag]
        if wanted.python:
            command += ["--python-version", wanted.python]
    else:
        command += ["--prefer-binary"]
    return command


def platform_tags(platform: str) -> list[str]:
    """The tags of wheels that run on `linux-aarch64` (glibc 2.36); a tag itself stays as it is."""
    system, _, machine = platform.partition("-")
    if system != "linux" or not machine:
        return [platform] if platform else []
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(_NEWEST_GLIBC, _OLDEST_GLIBC - 1, -1)]
    return [*tags, f"manylinux2014_{machine}", f"linux_{machine}"]


def _run(command: list[str]) -> None:
    environment = {
        key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PIP_TARGET", "PIP_USER")
    }
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, env=environment, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ModuleInvalid(f"pip can't be run: {error}") from error
    if done.returncode:
        why = _why(done.stdout.splitlines(), done.stderr.splitlines()) or f"exit status {done.returncode}"
        raise ModuleInvalid(f"pip can't resolve the libraries: {why}")


def _why(out: list[str], errors: list[str]) -> str:
    """What pip says of it, without its advice."""
    said = [line.removeprefix("ERROR: ") for line in errors if line.startswith("ERROR: ")]
    conflict = "The conflict is caused by:"
    if conflict in out:
        rest = out[out.index(conflict) + 1 :]
        return "; ".join(line.strip() for line in rest[: rest.index("")] if line.strip())
    return " ".join(said) or " ".join(errors[-3:])


def _distributions(into: Path) -> Iterator[tuple[str, str]]:
    for metadata in sorted(into.glob("*.dist-info/METADATA")):
        head = metadata.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
        fields = dict(line.partition(": ")[::2] for line in head.splitlines() if not line.startswith(" "))
        yield fields["Name"].strip(), fields["Version"].strip()


def _drop(into: Path, name: str) -> None:
    """Takes a distribution out again: the files that it says are its own."""
    info = next(path for path in into.glob("*.dist-info") if _belongs(path, name))
    for path in _recorded(info):
        (into / path).unlink(missing_ok=True)
        for folder in (into / path).parents:
            if folder == into or not folder.is_relative_to(into) or not folder.is_dir() or any(folder.iterdir()):
                break
            folder.rmdir()
    shutil.rmtree(info, ignore_errors=True)


def _belongs(info: Path, name: str) -> bool:
    return normal(info.name.partition("-")[0]) == normal(name)


def _recorded(info: Path) -> list[str]:
    lines = (info / "RECORD").read_text(encoding="utf-8").splitlines()
    paths = [line.rsplit(",", 2)[0].strip('"') for line in lines if line]
    return [path for path in paths if ".." not in path.split("/") and not path.startswith("/")]


def _tidy(into: Path) -> None:
    """Removes what names this machine, so that the same libraries give the same bytes anywhere."""
    for name in _DROPPED:
        if not (into / name / "__init__.py").exists():
            shutil.rmtree(into / name, ignore_errors=True)
    for info in into.glob("*.dist-info"):
        (info / "direct_url.json").unlink(missing_ok=True)
        (info / "REQUESTED").unlink(missing_ok=True)
        record = info / "RECORD"
        if record.exists():
            gone = ("../", "direct_url.json", "REQUESTED", ".pyc")
            lines = [line for line in record.read_text(encoding="utf-8").splitlines() if line]
            kept = [line for line in lines if not any(word in line.rsplit(",", 2)[0] for word in gone)]
            record.write_text("".join(f"{line}\n" for line in sorted(kept)), encoding="utf-8")
