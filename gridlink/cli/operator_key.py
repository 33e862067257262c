"""Whose key signs what is commanded from this desk, and `gridlink key`, which makes one.

The first of: `--operator-key FILE`, GRIDLINK_OPERATOR_KEY, `operator.nk` in ~/.config/gridlink (XDG_CONFIG_HOME), and
NATS_NKEY, by which the nats command line has it. With none of them commands are not signed.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gridlink.cli.options import Options
from gridlink.cli.output import JSON, print_json
from gridlink.codec import dumps
from gridlink.errors import PayloadInvalid, TrustInvalid

if TYPE_CHECKING:
    from appmanager.orders import Word
    from gridlink.registry import Entry

VARIABLE = "GRIDLINK_OPERATOR_KEY"
FILE = "operator.nk"


def key_file(options: Options, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The file with the seed that signs; None: nothing is signed."""
    if options.operator_key is not None:
        return options.operator_key
    if environ.get(VARIABLE):
        return Path(environ[VARIABLE])
    own = own_file(environ)
    if own.exists():
        return own
    return Path(environ["NATS_NKEY"]) if environ.get("NATS_NKEY") else None


def own_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the operator's own key is."""
    home = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".config")
    return Path(home) / "gridlink" / FILE


def signed(type: Word, order: dict[str, Any], site: str, to: Entry, key: Path | None) -> dict[str, Any]:
    """The order, signed for that AppManager of the site and no other. `key`: None leaves it unsigned.

    `key` may be a directory of seeds, SITE.nk each, as NATS_NKEY may. Raises TrustInvalid where it can't be used,
    PayloadInvalid for an order that isn't one: a name that can't be, say.
    """
    if key is None:
        return order
    if key.is_dir():
        key = key / f"{site}.nk"
    import msgspec  # noqa: PLC0415 - where commands are signed

    from appmanager.operators.signed import Target  # noqa: PLC0415
    from appmanager.operators.signing import sign  # noqa: PLC0415

    try:
        command = msgspec.convert(order, _orders()[type])
    except msgspec.ValidationError as error:
        about = order.get("module", order.get("name", ""))
        raise PayloadInvalid(f"{type} {about}: {error}: `gridlink ls` lists the modules") from error
    return {**order, "signature": sign(type, command, Target(site, to.machine, to.instance), key, time.time())}


def _orders() -> dict[str, Any]:
    from appmanager import orders  # noqa: PLC0415 - where commands are signed
    from appmanager.moving import MoveOrder  # noqa: PLC0415

    runs = dict.fromkeys(("start", "stop", "restart", "kill"), orders.RunOrder)
    bundles = dict.fromkeys(("install", "update"), orders.BundleOrder)
    return {
        **runs,
        **bundles,
        "configure": orders.ConfigureOrder,
        "uninstall": orders.UninstallOrder,
        "rollback": orders.RollbackOrder,
        "move": MoveOrder,
    }


@click.command()
@click.option("--name", default="", help="As the record is to show it.  [the user's name]")
@JSON
@click.pass_obj
def command(options: Options, name: str, as_json: bool) -> None:
    """Show the public key of the operator at this desk, and what to write into site.json; made where there is none.

    The seed stays in its file: ~/.config/gridlink/operator.nk, or the one that --operator-key or GRIDLINK_OPERATOR_KEY
    names.
    """
    from gridlink.cli.certificates import user  # noqa: PLC0415 - needs nkeys

    file = key_file(options, {key: value for key, value in os.environ.items() if key != "NATS_NKEY"}) or own_file()
    made = not file.exists()
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        public = user(file)
    except ImportError as error:
        raise TrustInvalid(f"{error.name} is not installed: `pip install 'gridlink[cluster]'`") from error
    except OSError as error:
        raise TrustInvalid(
            f"{file} can't be made or read: {error.strerror}: name another with --operator-key"
        ) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "nkeys":
            raise
        raise TrustInvalid(f"{file}: expected the seed of a user (SU…): name another with --operator-key") from error
    entry = {"name": name or _login(), "nkey": public}
    if as_json:
        print_json({"file": str(file), "made": made, **entry})
        return
    click.echo(f"{file}{' (made)' if made else ''}")
    click.echo(f'site.json of each machine: {{"operators": [{dumps(entry).decode()}]}}')


def _login() -> str:
    import getpass  # noqa: PLC0415 - for this alone

    return re.sub(r"[^A-Za-z0-9_.@-]", "-", getpass.getuser())[:64] or "operator"
