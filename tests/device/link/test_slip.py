"""SLIP: golden vectors of RFC 1055, round trips, and bounded memory whatever comes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cidesign.device.link.slip import SlipDecoder, decode, encode


@pytest.mark.parametrize(
    ("content", "wire"),
    [
        ("01", "c0 01 c0"),
        ("c0", "c0 db dc c0"),
        ("db", "c0 db dd c0"),
        ("c0 db 01 dc dd", "c0 db dc db dd 01 dc dd c0"),
        ("db dc", "c0 db dd dc c0"),
    ],
)
def test_golden_vectors(content: str, wire: str) -> None:
    assert encode(bytes.fromhex(content)) == bytes.fromhex(wire)
    assert [decode(body) for body in SlipDecoder(100).feed(bytes.fromhex(wire))] == [bytes.fromhex(content)]


@pytest.mark.parametrize("body", ["db", "01 db", "db 01", "db db dc", "db c1"])
def test_a_wrong_escape_is_no_content(body: str) -> None:
    assert decode(bytes.fromhex(body)) is None


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=5), st.lists(st.integers(1, 40), min_size=1, max_size=60))
def test_bodies_survive_any_cutting_of_the_stream(contents: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(map(encode, contents))
    decoder, found, position = SlipDecoder(200), [], 0
    for cut in [*cuts, len(stream)]:
        found += decoder.feed(stream[position : position + cut])
        position += cut
    assert [decode(body) for body in found] == contents


def test_noise_before_a_frame_costs_no_frame() -> None:
    decoder = SlipDecoder(100)
    bodies = decoder.feed(b"boot v1.2\r\n" + encode(b"frame"))
    assert [decode(body) for body in bodies] == [b"boot v1.2\r\n", b"frame"]


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_memory_is_bounded_and_the_next_frame_is_found(noise: list[bytes]) -> None:
    decoder = SlipDecoder(64)
    for chunk in noise:
        assert all(len(body) <= 64 for body in decoder.feed(chunk.replace(b"\xc0", b"\xc1")))
        assert len(decoder._body) <= 64
    assert decode(decoder.feed(encode(b"after"))[-1]) == b"after"


def test_a_body_that_is_too_long_is_counted() -> None:
    decoder = SlipDecoder(8)
    assert decoder.feed(encode(bytes(9)) + encode(bytes(8))) == [bytes(8)]
    assert decoder.overruns == 1
