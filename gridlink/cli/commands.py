"""The group of all commands. Their names and help are here, so that `gridlink --help` imports none of them."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import click

import gridlink as package
from gridlink.cli.options import Options
from gridlink.errors import GridlinkError

COMMANDS: dict[str, dict[str, tuple[str, str]]] = {
    "Author": {
        "new": ("new", "Make a bundle: a module, its test and its README."),
        "run": ("run", "Join one bundle to a running site; reload it on save."),
        "types": ("contract_types", "Write the dataclasses of somebody else's contract."),
        "pack": ("pack", "Make one file of a bundle and its libraries."),
    },
    "Look": {
        "ls": ("ls", "List the site's modules and their states."),
        "show": ("show", "Show a module: its contract, state and counters."),
        "call": ("call:call", "Send a request and print the reply."),
        "publish": ("call:publish", "Publish an event."),
        "tap": ("tap", "Show the messages on the site as they pass."),
        "top": ("top", "Show live what each module and each process takes."),
        "stack": ("stack", "Show where every task of a module is."),
        "shell": ("shell", "Type commands at a prompt, with completion."),
        "logs": ("logs", "Show the log lines of all modules in order of time."),
        "doctor": ("doctor", "Check this machine and say what to do."),
    },
    "Operate": {
        "init": ("init", "Make a managed directory."),
        "key": ("operator_key", "Make or show the key that signs your commands."),
        "install": ("provision:install", "Install a module from a packed bundle."),
        "update": ("provision:update", "Replace a module's version, while it runs."),
        "configure": ("provision:configure", "Have a module take other values."),
        "uninstall": ("provision:uninstall", "Stop a module and remove it."),
        "rollback": ("provision:rollback", "Go back to a module's former version."),
        "start": ("run_control:start", "Start a module that was stopped or FAILED."),
        "stop": ("run_control:stop", "Stop a module."),
        "restart": ("run_control:restart", "Stop a module and start it."),
        "kill": ("run_control:kill", "End a module at once."),
        "move": ("move", "Run a module in another mode, while it runs."),
        "apply": ("apply", "Bring sites to the state that a file declares."),
        "store": ("store", "Show the bundles in a site's stores, or remove them."),
        "history": ("history", "Show the commands that changed the modules."),
    },
    "Measure": {
        "bench": ("bench", "Measure memory and the use case on this machine."),
    },
}
INTERRUPTED = 130  # as a shell says it of SIGINT
_FILES = {name: file for group in COMMANDS.values() for name, (file, _) in group.items()}


class Lazy(click.Group):
    """A group that imports a command's file when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the help."""
        return list(_FILES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported; None for a name that is none."""
        file, _, attribute = _FILES.get(cmd_name, "").partition(":")
        if not file:
            return None
        found = getattr(import_module(f"gridlink.cli.{file}"), attribute or "command")
        return found if isinstance(found, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands in `--help`, from the table above."""
        for title, commands in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl([(name, text) for name, (_, text) in commands.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command; what is refused or fails is one line on stderr, and exit status 1; Ctrl-C is 130."""
        try:
            return super().invoke(ctx)
        except GridlinkError as error:
            click.echo(f"gridlink: {' '.join(str(error).split())}", err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)


@click.group(
    cls=Lazy,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="The node is found by --nats, -C DIR, NATS_URL, or in ./managed, in this order. `gridlink-node` runs one.",
)
@click.option(
    "-C", "directory", type=click.Path(path_type=Path), metavar="DIR", help="The managed directory of a running node."
)
@click.option("--nats", "url", default="", metavar="URL", help="The site's nats-server.  [env: NATS_URL]")
@click.option("--site", default="", help="The site's name, where it isn't the node's.  [env: GRIDLINK_SITE]")
@click.option("--machine", default="", help="Look at the modules on this machine alone.")
@click.option(
    "--site-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The site's proxies and keys, where DIR isn't known.  [env: GRIDLINK_SITE_FILE]",
)
@click.option(
    "--operator-key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Signs what is commanded; see `gridlink key`.  [env: GRIDLINK_OPERATOR_KEY, NATS_NKEY]",
)
@click.version_option(package.__version__, prog_name="gridlink")
@click.pass_context
def gridlink(
    ctx: click.Context,
    directory: Path | None,
    url: str,
    site: str,
    machine: str,
    site_file: Path | None,
    operator_key: Path | None,
) -> None:
    """Make, look at and operate the modules of an electricity substation.

    Options for all commands come before the command. Exit status: 0 done, 1 refused or failed, 2 wrong usage.
    """
    ctx.obj = Options(
        directory=directory, url=url, site=site, machine=machine, site_file=site_file, operator_key=operator_key
    )
