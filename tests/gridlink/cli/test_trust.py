"""`gridlink init --cluster` and `--uplink`, run again: keys stay, machines and sites are added."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridlink.bus.trust import read_trust
from gridlink.cli.trust import Network, make_cluster, make_uplink
from gridlink.errors import TrustInvalid


def test_a_machine_is_added_and_every_key_stays(tmp_path: Path) -> None:
    """All servers learn of the new user; certificates change only where the hosts did."""
    make_cluster(tmp_path, "a", ["m1", "m2"], {"m1": ["10.0.0.1"]}, Network())
    names = ("ca.pem", "ca-key.pem", "m1/node.nk", "m1/server.pem", "m2/server.pem", "m1/beacon.key")
    before = {name: (tmp_path / name).read_bytes() for name in names}
    made = make_cluster(tmp_path, "a", ["m3"], {"m2": ["10.0.0.2"]}, Network(discovery=None))
    assert [path.name for path in made] == ["m1", "m2", "m3", "operator"]
    after = {name: (tmp_path / name).read_bytes() for name in names}
    assert [name for name in names if before[name] != after[name]] == ["m2/server.pem"]
    cluster = read_trust(tmp_path / "m1", "a").cluster
    assert cluster is not None
    assert set(cluster.users) == {"m1", "m2", "m3", "operator"}
    assert cluster.routes == ("10.0.0.1:6222", "10.0.0.2:6222", "m3:6222")


def test_secrets_are_their_owners_alone(tmp_path: Path) -> None:
    """From the first byte on; `read_trust` refuses anything else."""
    make_cluster(tmp_path, "a", ["m1"], {}, Network())
    make_uplink(tmp_path, "tls://hub", "a")
    keys = [path for path in tmp_path.rglob("*") if path.suffix in {".nk", ".key"} or path.name.endswith("-key.pem")]
    assert len(keys) == 10
    assert {path.stat().st_mode & 0o777 for path in keys} == {0o600}


@pytest.mark.parametrize(
    ("machines", "hosts", "site"),
    [([], {}, "a"), (["operator"], {}, "a"), (["m1"], {"m9": ["10.0.0.9"]}, "a"), (["m1"], {}, "b")],
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, machines: list[str], hosts: dict[str, list[str]], site: str
) -> None:
    """No machines, a name that is taken, hosts of a stranger, another site's directory."""
    make_cluster(tmp_path / "other", "a", ["m1"], {}, Network())
    with pytest.raises(TrustInvalid):
        make_cluster(tmp_path / ("other" if site == "b" else "new"), site, machines, hosts, Network())


def test_sites_are_added_to_a_centre_and_another_centre_is_refused(tmp_path: Path) -> None:
    """One directory, one centre."""
    make_uplink(tmp_path, "tls://hub", "a")
    first = (tmp_path / "site-a" / "uplink.nk").read_bytes()
    make_uplink(tmp_path, "tls://hub:7422", "b")
    make_uplink(tmp_path, "tls://hub", "a")
    assert (tmp_path / "site-a" / "uplink.nk").read_bytes() == first
    text = (tmp_path / "hub" / "hub.conf").read_text()
    assert text.count("# leaf") == 2
    with pytest.raises(TrustInvalid, match="use another directory"):
        make_uplink(tmp_path, "tls://elsewhere", "c")
    with pytest.raises(TrustInvalid, match="no uplink without TLS"):
        make_uplink(tmp_path / "x", "nats://hub", "c")
