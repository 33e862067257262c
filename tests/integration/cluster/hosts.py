"""Network namespaces as hosts: one bridge is their network, whose links can be cut without a word, another the test's.

Who isn't root, or has no `ip netns`, can't make them: those tests are skipped and say so. Once a namespace can be made,
whatever fails afterwards is a failure.
"""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

_numbers = itertools.count(1)


def require_namespaces() -> None:
    """Skips the test where no network namespace can be made."""
    if shutil.which("ip") is None:
        pytest.skip("network namespaces need the program ip (iproute2)")
    name = f"gl-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no network namespace can be made here: {made.stderr.strip()}")
    _ip("netns", "del", name)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


class Host:
    """One namespace. `address` is in the network that is cut, `way_in` reaches it from the test at any time."""

    def __init__(self, name: str, namespace: str, link: str, test_link: str, address: str, way_in: str) -> None:
        self.name, self.namespace, self.link, self.test_link = name, namespace, link, test_link
        self.address, self.way_in = address, way_in

    def command(self, *arguments: str) -> list[str]:
        """A command line that runs on this host."""
        return ["ip", "netns", "exec", self.namespace, *arguments]

    def popen(self, *arguments: str, output: Path, **options: Any) -> subprocess.Popen[bytes]:
        """A process on this host."""
        with output.open("ab") as file:
            return subprocess.Popen(self.command(*arguments), stdout=file, stderr=file, **options)


class Network:
    """Hosts on a bridge. A `with`: everything is gone at the end."""

    def __init__(self, *names: str) -> None:
        self._mark = f"{os.getpid() % 100000:x}{next(_numbers):x}"
        self._bridge, self._inner = f"gl{self._mark}b", f"gl{self._mark}m"
        second, third = secrets.randbelow(50) + 200, secrets.randbelow(250) + 1
        self._way_in = f"10.{second}.{third}"
        self.hosts: dict[str, Host] = {}
        self._names = names

    def __enter__(self) -> Network:
        try:
            for bridge in (self._bridge, self._inner):
                _ip("link", "add", bridge, "type", "bridge")
                _ip("link", "set", bridge, "up")
            _ip("address", "add", f"{self._way_in}.254/24", "dev", self._inner)
            for number, name in enumerate(self._names, start=1):
                self.hosts[name] = self._host(name, number)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _host(self, name: str, number: int) -> Host:
        namespace, link = f"gl-{self._mark}-{name}", f"gl{self._mark}l{number}"
        test_link = f"gl{self._mark}w{number}"
        host = Host(name, namespace, link, test_link, f"10.99.0.{number}", f"{self._way_in}.{number}")
        _ip("netns", "add", namespace)
        self.hosts[name] = host
        _ip("-n", namespace, "link", "set", "lo", "up")
        for outer, inner, address, bridge in (
            (link, "eth0", host.address, self._bridge),
            (host.test_link, "test0", host.way_in, self._inner),
        ):
            _ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", namespace)
            _ip("link", "set", outer, "master", bridge, "up")
            _ip("-n", namespace, "address", "add", f"{address}/24", "dev", inner)
            _ip("-n", namespace, "link", "set", inner, "up")
        return host

    def cut(self, *names: str) -> None:
        """Takes hosts off the network; their own links stay up, and nobody is told: no FIN, no RST."""
        for name in names:
            _ip("link", "set", self.hosts[name].link, "nomaster")

    def heal(self, *names: str) -> None:
        """Puts hosts back on the network."""
        for name in names:
            _ip("link", "set", self.hosts[name].link, "master", self._bridge)

    def cut_way_in(self, name: str) -> None:
        """Takes the test itself off a host, as silently."""
        _ip("link", "set", self.hosts[name].test_link, "nomaster")

    def heal_way_in(self, name: str) -> None:
        """Lets the test reach the host again."""
        _ip("link", "set", self.hosts[name].test_link, "master", self._inner)

    def __exit__(self, *_: object) -> None:
        for host in self.hosts.values():
            # A namespace lives on, with its links, as long as the kernel still closes a connection in it.
            for gone in (["link", "del", host.link], ["link", "del", host.test_link], ["netns", "del", host.namespace]):
                subprocess.run(["ip", *gone], capture_output=True)
        for bridge in (self._bridge, self._inner):
            subprocess.run(["ip", "link", "del", bridge], capture_output=True)
