"""The options that stand before the command, and which node they mean. Reads the environment when it is asked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gridlink.address import token
from gridlink.errors import GridlinkError

if TYPE_CHECKING:
    from gridlink.node.settings import NodeFile

STATE, NODE_FILE, SITE_FILE = ".gridlink", "node.json", "site.json"
DEFAULT_DIRECTORY, DEFAULT_SITE = Path("managed"), "site"


class NodeNotFound(GridlinkError):
    """No running node is where the options say."""

    code = 503


@dataclass(frozen=True, slots=True)
class Options:
    """What stands before the command, `-C DIR` and `--nats URL` for instance; empty where it wasn't given.

    `wave`, `stop_on_failure`: of a command over several sites, see gridlink.cli.sites.
    """

    directory: Path | None = None
    url: str = ""
    site: str = ""
    machine: str = ""
    site_file: Path | None = None
    operator_key: Path | None = None
    wave: int | None = None
    stop_on_failure: bool = False

    @property
    def managed(self) -> Path:
        """The managed directory that is meant: `-C`, else `./managed`."""
        return self.directory or DEFAULT_DIRECTORY


@dataclass(frozen=True, slots=True)
class Where:
    """A site to look at. `managed` is None where it is known by its URL alone.

    `environment`: the credentials for its server (`NATS_NKEY`, …) that its node has written down. `site_file`: the
    proxies through which messages to its modules go; None where there are none.
    """

    url: str
    site: str
    managed: Path | None
    environment: Mapping[str, str] = field(default_factory=dict)
    site_file: Path | None = None


def find(options: Options, environ: Mapping[str, str] = os.environ) -> Where:
    """The site that the options mean: `--nats`, then `-C`, then `NATS_URL`, then `./managed`.

    Raises NodeNotFound with the reason and what to do, AddressInvalid.
    """
    site = options.site or environ.get("GRIDLINK_SITE", "")
    named = environ.get("GRIDLINK_SITE_FILE", "")
    site_file = options.site_file or (Path(named) if named else None)
    url = options.url or ("" if options.directory is not None else environ.get("NATS_URL", ""))
    if url:
        return Where(url, token(site or DEFAULT_SITE, "--site"), None, site_file=site_file)
    node = _running(options)
    site_file = site_file or site_file_of(options.managed)
    return Where(node.url, token(site or node.site, "--site"), options.managed, node.environment, site_file)


def site_file_of(managed: Path) -> Path | None:
    """The site file that a node reads in its managed directory; None where there is none."""
    own = managed / SITE_FILE
    return own if own.exists() else None


def _running(options: Options) -> NodeFile:
    """What the node that runs the managed directory says of itself."""
    import msgspec  # noqa: PLC0415 - `gridlink --help` needs none of it

    from gridlink.node.settings import NodeFile  # noqa: PLC0415

    managed = options.managed
    file = managed / STATE / NODE_FILE
    start = f"start one with `gridlink-node --manage {managed}`, or name another with -C DIR or --nats URL"
    try:
        node = msgspec.json.decode(file.read_bytes(), type=NodeFile)
    except (FileNotFoundError, NotADirectoryError) as error:
        if not managed.is_dir():
            make = f"`gridlink init {managed} --example issn` makes one that runs"
            raise NodeNotFound(f"there is no directory {managed}: {make}; name another with -C DIR") from error
        raise NodeNotFound(f"no node is running in {managed}: {start}") from error
    except (OSError, msgspec.MsgspecError) as error:
        raise NodeNotFound(f"{file} can't be read ({error}): {start}") from error
    guardian = node.pids.get("guardian", 0)
    if guardian and not _lives(guardian):
        raise NodeNotFound(f"no node is running in {managed}: its process {guardian} is gone: {start}")
    if not node.url:
        raise NodeNotFound(f"the node in {managed} runs with --bus local, where no command can reach it: leave it out")
    return node


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
