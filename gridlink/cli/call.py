"""`gridlink call` and `gridlink publish`: one message to a role, an instance or a topic."""

from __future__ import annotations

import sys
from typing import Any

import click

from gridlink.cli.options import Options
from gridlink.cli.output import JSON, print_json, print_reply
from gridlink.cli.session import Session, run, session
from gridlink.codec import loads
from gridlink.errors import GridlinkError, NoSuchRole, PayloadInvalid, Unreadable
from gridlink.module.sender import Sender
from gridlink.registry.registry import JOIN_S

PAYLOAD = click.argument("payload", metavar="[JSON]", default="")


class CallFailed(GridlinkError):
    """A call that was refused or failed, with the class of its error in front of its sentence."""


@click.command()
@click.argument("to", metavar="ROLE|INSTANCE")
@click.argument("type", metavar="TYPE")
@PAYLOAD
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0.01), default=5.0, show_default=True, metavar="S")
@click.option("--json", "as_json", is_flag=True, help="The reply on one line, also on a terminal.")
@click.pass_obj
def call(options: Options, to: str, type: str, payload: str, timeout_s: float, as_json: bool) -> None:
    """Send a request to a role or an instance (name@node) and print the reply.

    JSON is the payload; `-` reads it from stdin. `gridlink show MODULE` lists requests and their payloads.
    """
    run(_call(options, to, type, document(payload), timeout_s, as_json))


async def _call(options: Options, to: str, type: str, payload: Any, timeout_s: float, as_json: bool) -> None:
    async with session(options, look=bool(options.machine)) as site:
        sender = await ready(site)
        try:
            to = receiver(site, to)
            reply = await sender.request(to, type, payload, timeout_s=timeout_s)
        except GridlinkError as error:
            raise explained(error, to, type) from error
    print_reply(reply, raw=as_json)


async def ready(site: Session) -> Sender:
    """The sender, once it can tell which of the site's proxies are meant for whom. Raises ConfigInvalid."""
    sender = site.sender
    if sender is not site.plain:
        await site.registry.joined(JOIN_S)
    return sender


def receiver(site: Session, to: str) -> str:
    """The role or instance; with `--machine`, the role's instance on that machine. Raises NoSuchRole."""
    if "@" in to or not site.machine:
        return to
    found = [e for e in site.registry.find(role=to) if e.machine == site.machine]
    if not found:
        raise NoSuchRole(f"no running module on machine {site.machine} has the role {to}: `gridlink ls` lists them")
    return found[0].instance


def explained(error: GridlinkError, to: str, type: str) -> CallFailed:
    """The error as one line that names its class and what to do."""
    name = error.__class__.__name__
    text = str(error)
    if isinstance(error, PayloadInvalid):
        text += f": `gridlink show` has the payload of {type}"
    if isinstance(error, Unreadable):
        text += ": name the site's own site.json, with its keys: -C DIR or --site-file FILE"
    return CallFailed(f"{to} {type}: {name}: {text}" if name != "GridlinkError" else text)


@click.command()
@click.argument("topic")
@click.argument("type", metavar="TYPE")
@PAYLOAD
@JSON
@click.pass_obj
def publish(options: Options, topic: str, type: str, payload: str, as_json: bool) -> None:
    """Publish an event on a topic and say which modules subscribe to it.

    JSON is the payload; `-` reads it from stdin. It is checked by the subscribers' schemas first.
    """
    run(_publish(options, topic, type, document(payload), as_json))


async def _publish(options: Options, topic: str, type: str, payload: Any, as_json: bool) -> None:
    async with session(options) as site:
        sender = await ready(site)
        takers = [e for e in site.registry.find() if type in e.subscribes.get(topic, ())]
        for taker in takers:
            fits(payload, await site.registry.schema(taker.subscribes[topic][type], taker), taker.instance)
        await sender.publish(topic, type, payload)
    names = [taker.instance for taker in takers]
    if as_json:
        print_json({"topic": topic, "type": type, "subscribers": names})
    else:
        click.echo(f"{topic} {type}: {', '.join(names) or 'published, but no module subscribes to it'}")


def fits(payload: Any, schema: dict[str, Any], whose: str) -> None:
    """Raises PayloadInvalid for a payload that the subscriber would drop."""
    import jsonschema  # noqa: PLC0415 - 2.7 MiB, for those who publish

    error = jsonschema.Draft202012Validator(schema)
    worst = next(iter(sorted(error.iter_errors(payload), key=lambda one: len(one.absolute_path), reverse=True)), None)
    if worst is not None:
        raise PayloadInvalid(f"{worst.json_path}: {worst.message}: {whose} would drop it; it was not published")


def document(text: str) -> Any:
    """The JSON given on the command line or, for `-`, on stdin. Wrong usage (2) where it is none."""
    try:
        body = sys.stdin.read() if text == "-" else text
        return loads(body) if body.strip() else None
    except PayloadInvalid as error:
        raise click.UsageError(f"{error}. Put it in single quotes: '{{\"position\": 1}}'") from error
