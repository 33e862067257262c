"""What Tab completes in `gridlink shell`: commands, their options, and the names of the site."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import click

from gridlink.registry import Entry

FRESH_S = 5.0  # the site is asked again after so long


@dataclass(frozen=True, slots=True)
class Words:
    """The names of a site. `types`: of requests, by the roles, modules and instances that answer them."""

    modules: tuple[str, ...] = ()
    instances: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    nodemanagers: tuple[str, ...] = ()
    types: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Words:
        """Those of the registry's entries."""
        found = list(entries)
        types: dict[str, set[str]] = {}
        for entry in found:
            for name in (*entry.roles, entry.instance):
                types.setdefault(name, set()).update(entry.requests)
            for topic, events in (*entry.publishes.items(), *entry.subscribes.items()):
                types.setdefault(topic, set()).update(events)
        return cls(
            modules=_sorted(entry.name for entry in found),
            instances=_sorted(entry.instance for entry in found),
            roles=_sorted(role for entry in found for role in entry.roles),
            topics=_sorted(topic for entry in found for topic in (*entry.publishes, *entry.subscribes)),
            nodemanagers=_sorted(entry.name for entry in found if "host" in entry.requests),
            types={name: _sorted(of_it) for name, of_it in types.items()},
        )


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


def candidates(group: click.Group, ctx: click.Context, before: Sequence[str], words: Words) -> list[str]:
    """All that can come after the words `before`, whatever has been typed of it."""
    if not before:
        return [*group.list_commands(ctx), "help", "exit"]
    if before[0] == "help":
        return group.list_commands(ctx)
    command = group.get_command(ctx, before[0])
    if command is None:
        return []
    options = [name for one in command.params if isinstance(one, click.Option) for name in one.opts]
    return [*_arguments(command, before, words), *options, "--help"]


def _arguments(command: click.Command, before: Sequence[str], words: Words) -> Sequence[str]:
    valued = {name: one for one in command.params if isinstance(one, click.Option) for name in one.opts if _takes(one)}
    option = valued.get(before[-1])
    if option is not None:
        return _of_option(option, words)
    given = [word for last, word in pairwise(before) if not word.startswith("-") and last not in valued]
    wanted = [one.name for one in command.params if isinstance(one, click.Argument)]
    at = wanted[len(given)] if len(given) < len(wanted) else ""
    if at == "type":
        return words.types.get(given[-1], ()) if given else ()
    return {
        "name": (*words.modules, *words.instances),
        "module": words.modules,
        "to": (*words.roles, *words.instances),
        "topic": words.topics,
    }.get(at or "", ())


def _takes(option: click.Option) -> bool:
    """Whether a value comes after it."""
    return not option.is_flag and not option.count


def _of_option(option: click.Option, words: Words) -> Sequence[str]:
    if isinstance(option.type, click.Choice):
        return [str(choice) for choice in option.type.choices]
    of_site = {
        "roles": words.roles,
        "topics": words.topics,
        "sources": words.instances,
        "into": words.nodemanagers,
    }
    return of_site.get(option.name or "", ())


class Completer:
    """Answers readline, which asks for one candidate after the other; `ask` asks the site."""

    def __init__(self, group: click.Group, ctx: click.Context, ask: Callable[[], Words]) -> None:
        self._group, self._ctx, self._ask = group, ctx, ask
        self._words, self._asked_s = Words(), float("-inf")
        self._found: list[str] = []

    def complete(self, line: str, text: str, number: int) -> str | None:
        """The candidate of that number for the word `text` at the end of `line`; None after the last."""
        if number == 0:
            before = line[: len(line) - len(text)].split()
            if before and (not self._words.modules or time.monotonic() - self._asked_s > FRESH_S):
                self._words, self._asked_s = self._ask(), time.monotonic()
            all_of_them = candidates(self._group, self._ctx, before, self._words)
            fitting = [one for one in all_of_them if one.startswith(text) and (text or one[:1] != "-")]
            short = [one for one in fitting if "@" not in one]  # an instance is meant by whoever types its @
            self._found = [f"{one} " for one in short or fitting]
        return self._found[number] if number < len(self._found) else None
