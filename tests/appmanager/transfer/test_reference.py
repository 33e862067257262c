"""How a command says where its bundle is, and what a store is told to keep. Pure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmanager.transfer.reference import CHUNK_BYTES, MOST_CHUNKS, Bounds, Reference, reference_in, stream_config
from gridlink.bus.durable.settings import CENTRE, MIB
from gridlink.errors import AddressInvalid, Refused

DIGEST = "0123456789abcdef" * 4
LARGEST_PAYLOAD_BYTES = MIB


@given(size_bytes=st.integers(1, MOST_CHUNKS * CHUNK_BYTES), domain=st.sampled_from(["gridlink", "centre"]))
def test_a_reference_survives_its_way_in_a_command(size_bytes: int, domain: str) -> None:
    """As `Order.source`, and its chunks make up the file."""
    reference = Reference(DIGEST, size_bytes, "transfer-west", domain)
    assert reference_in(reference.spelled()) == reference
    assert reference.size_of(reference.chunks - 1) + (reference.chunks - 1) * CHUNK_BYTES == size_bytes
    assert 0 < reference.size_of(reference.chunks - 1) <= CHUNK_BYTES


def test_a_path_is_no_reference() -> None:
    """A site without JetStream has its bundles from files."""
    assert reference_in("/media/stick/lamp-1.0.0.glb") is None


@pytest.mark.parametrize(
    "source",
    [
        "store:",
        f"store:gridlink/transfer-west/{DIGEST[1:]}/1/131072",  # a digest that is too short
        f"store:gridlink/transfer-west/{DIGEST}/0/131072",  # an empty file
        f"store:gridlink/transfer-west/{DIGEST}/99999999999/131072",  # larger than any bundle
        f"store:gridlink/transfer-west/{DIGEST}/5/0",  # no chunks
        f"store:gridlink/transfer-west/{DIGEST}/5/2097152",  # larger than a message may be
        f"store:gridlink/transfer-west.x/{DIGEST}/5/131072",  # another subject
        f"store:gridlink/transfer-west/{DIGEST}/5/131072\n",
    ],
)
def test_what_is_no_reference_is_refused_before_anything_is_asked(source: str) -> None:
    """It comes from the bus."""
    with pytest.raises(Refused, match="put the file again"):
        reference_in(source)


def test_a_store_is_bounded_and_refuses_what_does_not_fit() -> None:
    """Pushing out the oldest would take from a slow site what it is fetching."""
    config = stream_config("west", CENTRE, Bounds(max_mib=2.0, max_age_s=60.0))
    assert (config["max_bytes"], config["max_age"], config["discard"]) == (2 * MIB, 60_000_000_000, "new")
    assert config["name"] == "transfer-west"
    assert config["subjects"] == ["gl.west.transfer.centre.*.*"]


def test_chunks_lie_under_the_stream_of_their_site_and_store() -> None:
    """So that the permissions of the site's users hold for them."""
    subject = Reference(DIGEST, 5, "transfer-west", CENTRE).subject("west", 0)
    assert subject == f"gl.west.transfer.centre.{DIGEST[:32]}-128.0"
    with pytest.raises(AddressInvalid):
        Reference(DIGEST, 5, "transfer-west", CENTRE).subject("west.east", 0)


def test_the_list_of_the_largest_files_chunks_fits_into_a_message() -> None:
    """JetStream answers with all subjects at once."""
    reference = Reference(DIGEST, MOST_CHUNKS * CHUNK_BYTES, "transfer-a_rather_long_name_of_a_site", "gridlink")
    each_bytes = len(f'"{reference.subject("a_rather_long_name_of_a_site", MOST_CHUNKS)}":1,')
    assert MOST_CHUNKS * each_bytes < LARGEST_PAYLOAD_BYTES * 0.9
