"""What an AppManager is asked for by operators, and what it answers. Data; nothing of provisioning is loaded for it.

An `id` is made by whoever asks. Asked again with the same id, after a lost link say, nothing is done twice, and the
answer is the same. Where the site lists operators, one of them has to have signed it: see appmanager.operators.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Struct

from gridlink.manifest import Name

EXPIRES_S = 600.0
Id = Annotated[str, msgspec.Meta(max_length=64)]
Who = Annotated[str, msgspec.Meta(max_length=128)]
Digest = Annotated[str, msgspec.Meta(max_length=128)]
"""Bounded, since each is in a line of the record."""
Argument = Annotated[str, msgspec.Meta(pattern=r"^[^\x00]*$(?!\n)", max_length=256)]
"""A process is started with it: no text with a NUL can be given to one."""
Word = Literal["install", "update", "configure", "uninstall", "rollback", "start", "stop", "restart", "kill", "move"]


class Signature(Struct, frozen=True):
    """An operator's signature of a command, as it travels in it. `at_s`: Unix time by the operator's clock."""

    nkey: str
    at_s: int
    ed25519: str  # 128 hexadecimal digits


class BundleOrder(Struct, frozen=True):
    """Install or update a module. `digest`: the bundle's, as `gridlink pack` prints it; `source`: where its file is.

    `settings`: values in its config.json, by dotted names; `config`: a document in its place. `older`: also where a
    newer version runs. `dry_run`: says what would be done or refused, and changes nothing; then `source` may be empty:
    the bundle isn't here yet. `mode`, `into`: of an install, where it runs from then on, as for `move`; empty: as ever.
    """

    id: Id
    module: Name
    digest: Digest
    source: str
    settings: dict[str, Any] | None = None
    config: dict[str, Any] | None = None
    older: bool = False
    mode: Literal["", "node", "fork", "process"] = ""
    into: Annotated[str, msgspec.Meta(max_length=64)] = ""
    who: Who = ""
    expires_s: float = EXPIRES_S
    dry_run: bool = False
    signature: Signature | None = None


class ConfigureOrder(Struct, frozen=True):
    """Other values: single `settings` by dotted names, or `config`, a document in place of config.json."""

    id: Id
    module: Name
    settings: dict[str, Any] | None = None
    config: dict[str, Any] | None = None
    who: Who = ""
    expires_s: float = EXPIRES_S
    dry_run: bool = False
    signature: Signature | None = None


class UninstallOrder(Struct, frozen=True):
    """Remove a module; with `purge` its own files too. `yes`: also where it is the last door to the outside."""

    id: Id
    module: Name
    purge: bool = False
    yes: bool = False
    who: Who = ""
    expires_s: float = EXPIRES_S
    dry_run: bool = False
    signature: Signature | None = None


class RollbackOrder(Struct, frozen=True):
    """Back to a version that is kept: the last one, or `to`; with its state, or the present one (`keep_state`)."""

    id: Id
    module: Name
    to: str = ""
    keep_state: bool = False
    who: Who = ""
    expires_s: float = EXPIRES_S
    signature: Signature | None = None
    dry_run: bool = False


class RunOrder(Struct, frozen=True):
    """Start, stop, restart or kill a module, until the next start of its node. `yes`: as for uninstall."""

    id: Id
    module: Name
    yes: bool = False
    who: Who = ""
    expires_s: float = EXPIRES_S
    signature: Signature | None = None
    dry_run: bool = False


class Ended(Struct, frozen=True):
    """How a command ended; `under way`: ask again with the same id. `was`, `becomes`: versions.

    `step`: where it failed. Of a dry run: `steps`, what would be done; `notes`, what it doesn't say, and who would miss
    the module; `end` is `refused` where the command would be, with `check`, the check that its bundle doesn't pass.
    """

    id: str
    module: str
    kind: Word
    end: Literal["done", "refused", "rolled back", "broken", "under way", "dry run"]
    reason: str = ""
    step: str = ""
    was: str = ""
    becomes: str = ""
    steps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    check: str = ""


class Begun(Struct, frozen=True):
    """A step of a command is begun, or a part of it is done. `percent`: of all steps; `done_bytes`: of this one.

    `of_bytes`: how many that will be, 0 where it isn't known. `waits`: why it doesn't go on now, a lost link say.
    """

    id: str
    module: str
    kind: Word
    step: str
    percent: int
    done_bytes: int = 0
    of_bytes: int = 0
    waits: str = ""


class HistoryOrder(Struct, frozen=True):
    """The last commands on record, of one module or all; `verify`: follow the chain of hashes from its beginning."""

    module: str = ""
    last: int = 50
    verify: bool = False


class Recorded(Struct, frozen=True):
    """A command on record. `at_s`: Unix time by the board's clock; `hash`: of the entry, which the next one names.

    `signed`: the public nkey by which it was signed, where that was checked; then `who` is that operator.
    """

    number: int
    id: str
    kind: str
    module: str
    outcome: str
    reason: str
    who: str
    digests: dict[str, str]
    at_s: float
    hash: str
    signed: str = ""


class History(Struct, frozen=True):
    """The record. `verified`: how many entries were found unchanged; None where nobody asked.

    `begins`, `before`: the number of the first of those, and the hash that it names: more than 1 where older ones were
    dropped, since the record was full. `damaged`: what of the newest part can't be read, and so isn't among `entries`.
    """

    entries: tuple[Recorded, ...]
    verified: int | None = None
    begins: int = 1
    before: str = ""
    damaged: str = ""


class StoreAt(Struct, frozen=True):
    """The site's store: the node that runs it, and the JetStream domain by which everybody reaches it."""

    node: str
    domain: str


class StoreKept(Struct, frozen=True):
    """Whether the site's store has something, or may have it: it runs, or is another node's. `node`: that runs it."""

    node: str
    kept: bool


class InventoryOrder(Struct, frozen=True):
    """What there is of these modules, and of all others if `others`."""

    modules: tuple[Name, ...] = ()
    others: bool = True


class Installed(Struct, frozen=True):
    """A module as it is: its version, its bundle's digest (none of one that was put there by hand), its config.json.

    `chosen`: an operator has said in which mode it runs. `protected`: it runs the node, and no command changes it.
    `config` is None where the file can't be read. `roles`: that it serves now; `uses`: roles that it asks.
    """

    name: str
    version: str
    digest: str
    mode: str
    into: str
    chosen: bool
    protected: bool
    config: dict[str, Any] | None
    roles: tuple[str, ...]
    uses: tuple[str, ...]


class Inventory(Struct, frozen=True):
    """The modules of a machine. `last`, by module: which commands ended last, on record and in memory.

    The next one's id is made with it, so that it is another one once one has ended, and the same until then.
    `under_way`: modules that something is being done to, so that they may be another version soon.
    """

    modules: tuple[Installed, ...]
    last: dict[str, str]
    under_way: tuple[str, ...] = ()


class LogsOrder(Struct, frozen=True):
    """The last records (500 at most) of a module, an instance, or all; `since`: from that time on, as they have it."""

    name: Argument = ""
    last: int = 100
    since: Argument = ""


class LogRecord(Struct, frozen=True):
    """What was logged: at a time by the board's clock (RFC 3339), by whom; `text` may have more lines."""

    time: str
    level: str
    module: str
    text: str


class Logs(Struct, frozen=True):
    """Records in order of time; the oldest are left out where they are more than 256 KiB."""

    records: tuple[LogRecord, ...]
