"""Lean imports: what a node needn't load isn't loaded, and works as ever when it is needed after all."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gridlink.bus.server import Server

HEAVY = "ssl _ssl email nats.js nats.js.client aiohttp multidict importlib.metadata asyncio.sslproto zipfile"


def run(code: str, *arguments: str) -> str:
    """What a fresh interpreter prints; it must end well and say nothing on stderr."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


CONNECT = f"""
import sys
from gridlink import lean
lean.import_asyncio()
with lean.ImportingNats():
    import nats.aio.client
import asyncio
from gridlink.bus.nats import NatsBus

async def main():
    bus = NatsBus("lean", "n1")
    await bus.connect(sys.argv[1])
    await bus.aclose()

asyncio.run(main())
print([name for name in "{HEAVY}".split() if type(sys.modules.get(name)).__name__ == "module"])
"""


def test_a_node_on_loopback_connects_without_ssl_email_and_jetstream(shared_server: Server) -> None:
    """4 MiB of 23, on each of thousands of boards."""
    assert run(CONNECT, shared_server.url) == "[]"


def test_jetstream_loads_when_something_of_it_is_used(shared_server: Server) -> None:
    """A durable topic needs it: nothing is taken away, only put off."""
    code = """
import sys
from gridlink import lean
lean.import_asyncio()
with lean.ImportingNats():
    import nats.aio.client
import asyncio, nats
import nats.js
from nats.aio.client import Client
async def main():
    client = Client()
    await client.connect(sys.argv[1])
    context = client.jetstream()
    await client.close()
    return type(context).__name__
print(asyncio.run(main()), nats.js.JetStreamContext.__name__, "nats.js.client" in sys.modules)
"""
    assert run(code, shared_server.url) == "JetStreamContext JetStreamContext True"


TLS = """
import sys
from gridlink import lean
lean.import_asyncio()
with lean.ImportingNats():
    import nats.aio.client
import asyncio

async def main(cert, key):
    plain = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)  # asyncio has met sockets before
    plain.close()
    await plain.wait_closed()
    import ssl
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_side.load_cert_chain(cert, key)

    async def serve(reader, writer):
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_side)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=ssl.create_default_context(cafile=cert), server_hostname="localhost")
    writer.write(b"hello\\n")
    answer = await reader.readline()
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
    try:
        await asyncio.open_connection("127.0.0.1", port, ssl=True)
    except OSError:
        pass
    return answer.decode().strip()

print(asyncio.run(main(*sys.argv[1:])))
import ssl, asyncio.sslproto
print(ssl.SSLSocket.__module__, isinstance(ssl.SSLContext, type), asyncio.sslproto.SSLProtocol.__name__)
"""


def test_tls_really_works_after_a_lean_import(tmp_path: Path) -> None:
    """A listener beyond loopback needs it: a handshake with a certificate of our own, both sides by asyncio."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl command")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            openssl,
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-keyout",
            str(key),
            "-out",
            str(cert),
        ],
        check=True,
        capture_output=True,
    )
    assert run(TLS, str(cert), str(key)) == "HELLO\nssl True SSLProtocol"


def test_a_lean_import_after_an_ordinary_one_changes_nothing() -> None:
    """A test, a shell or an author's script may have imported asyncio long before."""
    code = """
import asyncio, ssl, sys
from gridlink import lean
before = sys.modules["ssl"], sys.modules["asyncio.sslproto"]
lean.import_asyncio()
with lean.ImportingNats():
    import nats.aio.client
print(before == (sys.modules["ssl"], sys.modules["asyncio.sslproto"]), ssl.SSLSocket.__module__)
"""
    assert run(code) == "True ssl"


def test_other_libraries_find_the_real_modules_after_a_lean_import() -> None:
    """A bundle's `import ssl`, `import email` or `importlib.metadata` is none of our business."""
    code = """
from gridlink import lean
lean.import_asyncio()
with lean.ImportingNats():
    import nats.aio.client
import ssl, email.message, importlib.metadata, urllib.request, http.client
print(ssl.OPENSSL_VERSION[:7], importlib.metadata.version("nats-py")[0], http.client.HTTPSConnection.__name__)
from nats.aio import client
print(client.__version__[0])
"""
    assert run(code) == "OpenSSL 2 HTTPSConnection\n2"


def test_the_guardians_imports_are_next_to_nothing() -> None:
    """It runs as long as the board does: no asyncio, logging, json, typing or pathlib."""
    code = """
import sys
import appmanager.guardian.guardian
heavy = "asyncio logging json typing pathlib subprocess dataclasses msgspec orjson nats re inspect ctypes"
print([name for name in heavy.split() if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(Path.cwd())!r})\n{code}"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_importing_gridlink_loads_none_of_its_parts() -> None:
    """The names of the module API are imported when they are first used."""
    code = """
import sys, gridlink
print([name for name in sys.modules if name.startswith("gridlink.")])
gridlink.Module, gridlink.request, gridlink.Refused, gridlink.Topic
from gridlink import message
print(callable(message))
try:
    gridlink.nothing
except AttributeError as error:
    print(str(error)[:26])
"""
    assert run(code).splitlines() == ["[]", "True", "gridlink has no 'nothing';"]


def test_what_libraries_import_and_a_node_does_not_use_loads_when_it_is_used() -> None:
    """1 MiB of each process: addresses in brackets, locales, and types that typing has."""
    code = """
import sys
from gridlink import lean
lean.import_libraries()
from gridlink.node import warm
warm.load()
names = "ipaddress locale typing_extensions".split()
print([name for name in names if name in sys.modules])
import ipaddress, locale, subprocess, urllib.parse
print(urllib.parse.urlsplit("http://[::1]:80/").hostname, ipaddress.ip_address("::1").is_loopback)
print(subprocess.run(["echo", "x"], text=True, capture_output=True).stdout)
"""
    assert run(code) == "[]\n::1 True\nx"
