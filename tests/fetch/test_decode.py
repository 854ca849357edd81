from __future__ import annotations

import gzip
import random
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from itertools import pairwise

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scraper.errors import FetchError
from scraper.fetch.decode import ACCEPT_ENCODING, PIECE, Decoder, decoder
from scraper.reasons import Reason

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MiB = 1024 * 1024
LIMIT = 4 * MiB
TEXT = "".join(f"<li>line {number} of a page</li>\n" for number in range(60)).encode()


def bare(data: bytes) -> bytes:
    packed = zlib.compressobj(wbits=-15)
    return packed.compress(data) + packed.flush()


def with_header_fields(data: bytes) -> bytes:
    """gzip with a 200 KB comment and a name (RFC 1952 2.3.1)."""
    packed = gzip.compress(data, mtime=0)
    return packed[:3] + b"\x18" + packed[4:10] + b"name\0" + b"c" * 200_000 + b"\0" + packed[10:]


CODERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", lambda data: gzip.compress(data, mtime=0)),
    "x-gzip": ("X-GZip", lambda data: gzip.compress(data, mtime=0)),
    "zlib": ("deflate", zlib.compress),
    "bare deflate": ("deflate", bare),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstd.compress),
    "twice": ("gzip, br", lambda data: brotli.compress(gzip.compress(data, mtime=0))),
    "thrice": ("gzip,identity , zstd,gzip", lambda data: gzip.compress(zstd.compress(gzip.compress(data)))),
}
coders = pytest.mark.parametrize(("header", "encode"), CODERS.values(), ids=CODERS)


def decoded(header: str, *chunks: bytes, limit: int = LIMIT) -> bytes:
    made = Decoder(header, limit)
    return b"".join([*map(made.feed, chunks), made.finish()])


def reason(header: str, *chunks: bytes, limit: int = LIMIT) -> Reason:
    with pytest.raises(FetchError) as caught:
        decoded(header, *chunks, limit=limit)
    return caught.value.reason


def test_what_is_advertised_is_what_can_be_decoded() -> None:
    assert ACCEPT_ENCODING == "gzip, deflate, br, zstd"
    for name in ACCEPT_ENCODING.split(", "):
        assert Decoder(name, LIMIT).codings == (name,)


def test_the_optional_modules_are_imported_only_when_a_body_needs_them() -> None:
    code = "import sys, scraper.fetch.decode; print({'brotli', 'backports.zstd'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"


@pytest.mark.parametrize("header", [None, "", "identity", " , Identity,"])
def test_a_body_without_a_coding_needs_no_decoder(header: str | None) -> None:
    assert decoder(header, LIMIT) is None


@pytest.mark.parametrize("header", ["x-foo", "gzip, compress", "gzip,gzip,gzip,gzip", "br;q=1", "gzip\n"])
def test_an_unknown_coding_or_a_long_chain_is_refused(header: str) -> None:
    with pytest.raises(FetchError) as caught:
        decoder(header, LIMIT)
    assert caught.value.reason is Reason.UNKNOWN_CODING


@coders
def test_a_body_comes_out_whole_however_it_is_cut(header: str, encode: Callable[[bytes], bytes]) -> None:
    packed = encode(TEXT)
    assert decoded(header, packed) == TEXT
    assert decoded(header, *(packed[at : at + 1] for at in range(len(packed)))) == TEXT
    draw = random.Random(7)
    for _ in range(20):
        cuts = sorted(draw.choices(range(len(packed) + 1), k=5))
        assert decoded(header, *(packed[a:b] for a, b in pairwise([0, *cuts, len(packed)]))) == TEXT


@coders
@settings(max_examples=20, deadline=None)
@given(data=st.binary(max_size=300), size=st.integers(1, 40))
def test_any_bytes_come_back(header: str, encode: Callable[[bytes], bytes], data: bytes, size: int) -> None:
    packed = encode(data)
    assert decoded(header, *(packed[at : at + size] for at in range(0, len(packed), size))) == data


@coders
def test_a_stream_cut_anywhere_is_partial(header: str, encode: Callable[[bytes], bytes]) -> None:
    packed = encode(TEXT)
    assert {reason(header, packed[:end]) for end in range(1, len(packed))} == {Reason.PARTIAL}


@pytest.mark.parametrize("header", ["gzip", "deflate", "br", "zstd", "gzip, gzip"])
def test_no_bytes_at_all_are_an_empty_body(header: str) -> None:
    assert decoded(header) == b""
    assert decoded(header, b"") == b""


@pytest.mark.parametrize("name", ["gzip", "zlib", "zstd"])
def test_a_stream_that_fails_its_checksum_is_corrupt(name: str) -> None:
    header, encode = CODERS[name]
    if name == "zstd":
        packed = bytearray(zstd.compress(TEXT, options={zstd.CompressionParameter.checksum_flag: 1}))
        packed[-1] ^= 1
    else:
        packed = bytearray(encode(TEXT))
        packed[-6 if name == "gzip" else -1] ^= 1
    assert reason(header, bytes(packed)) is Reason.CODING


@coders
def test_noise_in_a_stream_never_escapes_as_another_error(header: str, encode: Callable[[bytes], bytes]) -> None:
    packed = encode(TEXT)
    draw = random.Random(11)
    refused = 0
    for _ in range(200):
        broken = bytearray(packed)
        broken[draw.randrange(len(broken))] ^= 1 << draw.randrange(8)
        try:
            decoded(header, bytes(broken))
        except FetchError:
            refused += 1
    assert refused > 0


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_members_and_frames_follow_each_other(size: int) -> None:
    for packed, header in (
        (gzip.compress(b"one ") + gzip.compress(b"") + b"\0" * 9 + gzip.compress(b"two"), "gzip"),
        (zstd.compress(b"one ") + b"\x52\x2a\x4d\x18\2\0\0\0hi" + zstd.compress(b"two"), "zstd"),
    ):
        chunks = [packed[at : at + size] for at in range(0, len(packed), size)]
        assert decoded(header, *chunks) == b"one two"


def test_a_second_member_cut_anywhere_is_partial() -> None:
    first, second = gzip.compress(TEXT), gzip.compress(TEXT)
    assert {reason("gzip", first + second[:end]) for end in range(1, len(second))} == {Reason.PARTIAL}


@pytest.mark.parametrize("size", [1, 5, 10_000])
@pytest.mark.parametrize("header", ["gzip", "deflate", "zstd"])
@pytest.mark.parametrize("junk", [b"\0\0\0\0junk", b"<!-- served by -->" * 9, b"\x1fjunk"])
def test_junk_behind_a_whole_stream_is_passed_over(header: str, junk: bytes, size: int) -> None:
    packed = CODERS[{"deflate": "zlib"}.get(header, header)][1](TEXT) + junk
    made = Decoder(header, LIMIT)
    assert b"".join(made.feed(packed[at : at + size]) for at in range(0, len(packed), size)) == TEXT
    assert made.finish() == b""
    assert made.flags == {"trailing_bytes"}


def test_zero_padding_is_not_even_odd() -> None:
    made = Decoder("gzip", LIMIT)
    assert made.feed(gzip.compress(TEXT) + b"\0" * 5000) + made.finish() == TEXT
    assert made.flags == set()


def test_junk_behind_brotli_is_corrupt_however_it_is_cut() -> None:
    packed = brotli.compress(TEXT)
    assert reason("br", packed + b"junk") is reason("br", packed, b"junk") is Reason.CODING


@pytest.mark.parametrize("size", [1, 2, 10_000])
@pytest.mark.parametrize("header", ["gzip", "zstd", "gzip, gzip"])
@pytest.mark.parametrize("body", [TEXT, b"\x1fplain", b"x"])
def test_a_plain_body_with_a_label_comes_through(header: str, body: bytes, size: int) -> None:
    made = Decoder(header, LIMIT)
    assert b"".join(made.feed(body[at : at + size]) for at in range(0, len(body), size)) == body
    assert made.finish() == b""
    assert made.flags == {"not_encoded"}


def test_a_body_said_to_be_coded_twice_and_coded_once_comes_through() -> None:
    assert decoded("gzip, gzip", gzip.compress(TEXT)) == TEXT


def test_a_huge_gzip_comment_costs_nothing() -> None:
    packed = with_header_fields(TEXT)
    assert decoded("gzip", packed) == TEXT
    assert decoded("gzip", *(packed[at : at + 999] for at in range(0, len(packed), 999))) == TEXT


@coders
def test_the_cap_is_exact(header: str, encode: Callable[[bytes], bytes]) -> None:
    data = b"a" * 1_000_000
    assert len(decoded(header, encode(data), limit=len(data))) == len(data)
    assert reason(header, encode(data), limit=len(data) - 1) is Reason.TOO_LARGE


def bomb(name: str) -> tuple[str, bytes]:
    """At least 1 GiB of zeros."""
    zeros = bytes(64 * MiB)
    if name == "gzip":
        return "gzip", gzip.compress(zeros, 6) * 16
    if name == "deflate":
        packer = zlib.compressobj(1, wbits=-15)
        return "deflate", b"".join([packer.compress(zeros) for _ in range(16)]) + packer.flush()
    if name == "zstd":
        return "zstd", zstd.compress(zeros) * 16
    coder = brotli.Compressor(quality=1)
    packed = b"".join([coder.process(zeros) for _ in range(16)]) + coder.finish()
    return ("br", packed) if name == "br" else ("br, gzip, zstd", zstd.compress(gzip.compress(packed)))


@pytest.mark.parametrize("name", ["gzip", "deflate", "zstd", "br", "nested"])
@pytest.mark.parametrize("size", [64 * 1024, 1 << 30])
def test_a_bomb_stops_at_the_cap_with_flat_memory(name: str, size: int) -> None:
    header, packed = bomb(name)
    sizes: list[int] = []
    made = Decoder(header, LIMIT)
    chunks = (packed[at : at + size] for at in range(0, len(packed), size))
    tracemalloc.start()
    with pytest.raises(FetchError, match="too_large"):
        sizes.extend(len(made.feed(chunk)) for chunk in chunks)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(sizes) <= LIMIT
    assert peak < LIMIT + 8 * PIECE + len(packed)


def test_a_bomb_in_the_middle_of_a_chain_stops_there() -> None:
    middle = gzip.compress(bytes(64 * MiB))  # decodes to zeros, which are no gzip: the inner label is wrong
    made = Decoder("deflate, gzip", LIMIT)
    with pytest.raises(FetchError):
        made.feed(middle)
    assert reason("gzip, gzip", gzip.compress(gzip.compress(b"") * 400_000)) in (
        Reason.TOO_LARGE,
        Reason.CODING,
    )


def test_ten_megabytes_of_empty_members_are_refused_soon() -> None:
    assert reason("gzip", gzip.compress(b"", mtime=0) * 500_000) is Reason.CODING


def test_a_zstd_window_beyond_what_senders_may_use_is_refused() -> None:
    options: dict[int, int] = {zstd.CompressionParameter.window_log: 27}
    packer = zstd.ZstdCompressor(options=options)
    packed = packer.compress(TEXT) + packer.flush()
    assert reason("zstd", packed) is Reason.CODING
