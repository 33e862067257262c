"""The configuration: where the door listens and its limits; a Config that exists is a valid one."""

from dataclasses import dataclass

from dashboard_interface.guard import host_name


def loopback_address(host: str) -> str:
    """The address to bind for `host`; raises ValueError for anything that is not loopback."""
    address = "127.0.0.1" if host == "localhost" else host
    if address not in ("127.0.0.1", "::1") and not _is_loopback(address):
        raise ValueError(
            f"host: expected a loopback address (127.0.0.1, ::1 or localhost), came {host!r}; this door has "
            "no log-in and no encryption: bind loopback and reach it through an SSH tunnel or a reverse proxy"
        )
    return address


def _is_loopback(address: str) -> bool:
    from ipaddress import ip_address  # noqa: PLC0415 - 0.4 MiB, for addresses that hardly anybody names

    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Config:
    """Limits are small on purpose: the door shares a 512 MB board with every other module."""

    host: str = "127.0.0.1"
    port: int = 8080
    # Host names besides loopback's that requests may name, for a reverse proxy on this machine.
    allowed_hosts: tuple[str, ...] = ()
    # False: POST /api/tap is refused, the door only shows.
    control: bool = True
    max_connections: int = 32
    max_streams: int = 16
    max_header_bytes: int = 8192
    max_body_bytes: int = 4096
    # Real seconds: for a whole request to come in, for its answer, between requests, for a client to read.
    request_timeout_s: float = 10.0
    answer_timeout_s: float = 10.0
    keep_alive_s: float = 15.0
    send_timeout_s: float = 10.0
    # Real seconds between two `voltage` events, and between comments on a silent stream.
    summary_every_s: float = 0.5
    comment_every_s: float = 15.0
    # Site seconds after which a meter's voltage no longer counts as present.
    stale_after_s: float = 900.0

    def __post_init__(self) -> None:
        """Raises ValueError with what was expected, what came and what to do."""
        loopback_address(self.host)
        self._require("port", self.port, 0, 65535)
        self._require("max_connections", self.max_connections, 2, 1024)
        self._require("max_streams", self.max_streams, 1, self.max_connections - 1)
        self._require("max_header_bytes", self.max_header_bytes, 1024, 65536)
        self._require("max_body_bytes", self.max_body_bytes, 64, 1 << 20)
        for name in ("request_timeout_s", "answer_timeout_s", "keep_alive_s", "send_timeout_s"):
            self._require(name, getattr(self, name), 0.05, 300)
        self._require("summary_every_s", self.summary_every_s, 0.5, 60)
        self._require("comment_every_s", self.comment_every_s, 0.05, 300)
        self._require("stale_after_s", self.stale_after_s, 1, 86400)
        for host in self.allowed_hosts:
            if host_name(host) != host:
                raise ValueError(
                    f"allowed_hosts: expected lower-case host names without a port, came {host!r}; write the name alone"
                )

    @staticmethod
    def _require(name: str, value: float, low: float, high: float) -> None:
        if not low <= value <= high:
            raise ValueError(f"{name}: expected {low} to {high}, came {value}; set it within that range")
