"""`gridlink shell`: the commands at a prompt, with completion and a history of the session. Local or remote, as any.

The options that stand before `shell` hold for all commands in it. Lines come from a terminal or from a pipe; `#` begins
a comment, as in a shell.
"""

from __future__ import annotations

import asyncio
import shlex
import signal
import sys
from collections.abc import Iterator

import click

from gridlink.cli.options import Options, find
from gridlink.cli.session import session
from gridlink.cli.shell_words import Completer, Words
from gridlink.errors import GridlinkError

ENDS = ("exit", "quit")
INTERRUPTED = 130
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command()
@click.pass_context
def command(ctx: click.Context) -> None:
    """Type commands at a prompt: Tab completes commands, options, modules, roles and requests; `help` lists them.

    `exit` or Ctrl-D ends it, Ctrl-C ends the command that runs. The exit status is that of the last command.
    """
    if ctx.parent is None or not isinstance(ctx.parent.command, click.Group):
        raise click.UsageError("start it as `gridlink shell`")
    options: Options = ctx.obj
    where = find(options)
    shell = Shell(ctx.parent, options)
    if sys.stdin.isatty():
        click.echo(f"site {where.site} of {where.url}; Tab completes, `help` lists the commands, Ctrl-D ends")
        shell.complete()
    status = 0
    for line in shell.lines(f"{where.site}> " if sys.stdin.isatty() else ""):
        found = shell.run(line)
        if found is None:
            break
        status = found
    ctx.exit(status)


class Shell:
    """Runs lines as commands of the group that it was called from."""

    def __init__(self, group: click.Context, options: Options) -> None:
        self._ctx, self._options = group, options
        self._group: click.Group = group.command  # type: ignore[assignment]

    def lines(self, prompt: str) -> Iterator[str]:
        """Each line until the end of the input. Ctrl-C at the prompt drops the line."""
        while True:
            try:
                yield input(prompt)
            except EOFError:
                if prompt:
                    click.echo()
                return
            except KeyboardInterrupt:
                click.echo()

    def run(self, line: str) -> int | None:
        """The command's exit status; None where the shell is to end."""
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:  # a quotation that isn't closed
            click.echo(f"gridlink: {error}: close it", err=True)
            return 2
        if not words:
            return 0
        if words[0] in ENDS:
            return None
        if words[0] == "help":
            words = [*words[1:2], "--help"]
        handlers = {number: signal.getsignal(number) for number in SIGNALS}
        try:
            return self._command(words)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)  # a command such as `run` has its own

    def _command(self, words: list[str]) -> int:
        """As `main` of click does it, but for the end of the process."""
        try:
            if words == ["--help"]:
                click.echo(self._ctx.get_help())
                return 0
            if words[0] == "shell":
                raise click.UsageError("this is one already")
            name, found, arguments = self._group.resolve_command(self._ctx, words)
            if found is None:
                return 2
            with found.make_context(name, arguments, parent=self._ctx) as ctx:
                found.invoke(ctx)
        except click.exceptions.Exit as end:
            return end.exit_code
        except click.ClickException as error:
            error.show()
            return error.exit_code
        except GridlinkError as error:
            click.echo(f"gridlink: {' '.join(str(error).split())}", err=True)
            return 1
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else 1
        except (KeyboardInterrupt, click.Abort):
            click.echo()
            return INTERRUPTED
        return 0

    def complete(self) -> None:
        """Completes by Tab, where Python has readline."""
        try:
            import readline  # noqa: PLC0415 - for people alone
        except ImportError:
            return
        completer = Completer(self._group, self._ctx, self._words)
        readline.set_completer_delims(" \t\n")
        readline.set_completer(lambda text, number: completer.complete(readline.get_line_buffer(), text, number))
        readline.parse_and_bind("tab: complete")

    def _words(self) -> Words:
        """What the site has now. Without a site, only commands and options are completed."""

        async def ask() -> Words:
            async with session(self._options) as site:
                return Words.of(site.entries())

        try:
            return asyncio.run(ask())
        except GridlinkError:
            return Words()
