"""How a bundle gets from a desk to the machine that is to run it: by its path there, or through a store.

The rule of `auto`: by its path where the AppManager runs on this very machine, else through a store.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click

from appmanager.packed.about import about
from appmanager.transfer.listing import entry, put_on_list
from appmanager.transfer.putting import put
from gridlink.cli.session import Session
from gridlink.cli.steps import Steps
from gridlink.cli.stores import lying, newest, stores
from gridlink.config import machine_name
from gridlink.errors import Refused
from gridlink.registry import Entry

Via = Literal["auto", "path", "store"]
SUFFIX = ".glb"


@dataclass(frozen=True, slots=True)
class Offer:
    """What is to be installed: a `file` of this desk, or the `name` of a bundle that lies in a store.

    `version`: of the one in a store. `bytes_per_s`: so fast at most into a store; 0: as fast as it goes.
    """

    file: Path | None = None
    name: str = ""
    version: str = ""
    digest: str = ""
    via: Via = "auto"
    bytes_per_s: float = 0.0

    async def bring(self, site: Session, to: Entry | None, steps: Steps, dry_run: bool) -> dict[str, Any]:
        """Has it where the AppManager `to` finds it; what an order says of that. None: it isn't reached now.

        Raises Refused, NoStore, StoreRefused. A store that is not reached any more is waited for.
        """
        if self.file is None:
            found = await newest(site, self.name, self.version)
            return {"digest": found.digest, "source": found.source}
        if self.via == "path" or (self.via == "auto" and to is not None and to.machine == machine_name()):
            return {"digest": self.digest, "source": str(self.file.resolve())}
        if dry_run:
            there = await lying(site, self.name, self.version, self.digest)
            return {"digest": self.digest, "source": there}
        store = (await stores(site))[0]
        reference = await put(
            store.jetstream,
            site.where.site,
            self.file,
            domain=store.domain,
            bytes_a_s=self.bytes_per_s,
            progress=steps.sent,
            waiting=steps.waits,
        )
        listed = entry(self.name, self.version, self.digest, reference)
        await put_on_list(store.jetstream, site.where.site, listed)
        return {"digest": self.digest, "source": reference.spelled()}


def offered(given: str, version: str, via: Via, bytes_per_s: float) -> Offer:
    """What FILE|NAME means: a file if it is one, or looks like one. Raises BundleInvalid, Refused."""
    file = Path(given)
    if not file.is_file() and file.suffix != SUFFIX and "/" not in given:
        if via == "path":
            raise click.UsageError(f"--via path needs a FILE, got {given!r}")
        return Offer(None, given, version, via=via)
    if version:
        raise click.UsageError("--to names a version in the store: it goes with NAME, not with FILE")
    try:
        name, found, digest = about(file)
    except OSError as error:
        raise Refused(f"{file} can't be read: {error.strerror}: give a file that `gridlink pack` has made") from error
    return Offer(file, name, found, digest, via, bytes_per_s)
