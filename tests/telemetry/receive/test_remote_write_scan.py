"""The compiled scan: equal to a plain protobuf walk on whatever is valid, and never outside of a damaged body."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.errors import InvalidInput, TooLarge
from setpoint.telemetry.receive import remote_write_kernels as kernels
from setpoint.telemetry.receive import remote_write_scan
from setpoint.telemetry.receive.remote_write_scan import Scanned, Scanner, inflate
from tests.telemetry.receive.remote_write_proto import Request, Walked, WriteRequest, compressed, walk
from tests.telemetry.receive.wire_mutations import bodies, valid_v1, valid_v2

ROOT = Path(__file__).parents[3]
SCANNER = Scanner(np.array([1, 2], np.uint64))

# ---- an encoder that writes the same message in other ways ---------------------------------------------------


def varint(value: int, padding: int = 0, most: int = 10) -> bytes:
    """`value` as a varint, with up to `padding` needless bytes."""
    value &= 2**64 - 1
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(value & 0x7F)
    groups += [0] * min(padding, most - len(groups))
    return bytes(group | 0x80 for group in groups[:-1]) + bytes(groups[-1:])


def message(*fields: bytes) -> bytes:
    return b"".join(fields)


def delimited(number: int, payload: bytes, padding: int = 0) -> bytes:
    return varint(number << 3 | 2) + varint(len(payload), padding, most=5) + payload


def number(field: int, value: int, padding: int = 0) -> bytes:
    return varint(field << 3) + varint(value, padding)


def double(field: int, bits: int) -> bytes:
    return varint(field << 3 | 1) + bits.to_bytes(8, "little")


unknown_fields = st.sampled_from(
    [
        b"",
        b"",
        b"",
        number(1000, 7),
        double(100, 5),
        delimited(50, b"ignored"),
        varint(77 << 3 | 5) + b"1234",
        varint(90 << 3 | 3) + number(1, 5) + delimited(2, b"x") + varint(90 << 3 | 4),
        varint(90 << 3 | 3) + varint(91 << 3 | 3) + varint(91 << 3 | 4) + varint(90 << 3 | 4),
    ]
)
paddings = st.sampled_from([0, 0, 0, 1, 4])
bits64 = st.integers(0, 2**64 - 1) | st.sampled_from([0, 0x7FF0000000000002, 0x8000000000000000])
instants = st.integers(-(2**63), 2**63 - 1) | st.integers(1_600_000_000_000, 1_900_000_000_000)


@st.composite
def encoded_samples(draw: st.DrawFn, is_v2: bool) -> bytes:
    fields = [double(1, draw(bits64)), number(2, draw(instants), draw(paddings)), draw(unknown_fields)]
    if is_v2 and draw(st.booleans()):
        fields.append(number(3, draw(st.integers(0, 2**62))))
    if draw(st.integers(0, 4)) == 0:
        fields = draw(st.permutations(fields))
    if draw(st.integers(0, 9)) == 0:
        fields = fields[draw(st.integers(0, 2)) :]
    return delimited(2, message(*fields), draw(paddings))


@st.composite
def v1_bodies(draw: st.DrawFn) -> bytes:
    out = []
    for _ in range(draw(st.integers(0, 3))):
        labels = [
            delimited(1, delimited(1, name) + delimited(2, value), draw(paddings))
            for name, value in draw(
                st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=200)), max_size=4)
            )
        ]
        others = [
            *draw(st.lists(encoded_samples(False), max_size=3)),
            *draw(
                st.lists(
                    st.sampled_from([delimited(3, double(2, 5)), delimited(4, number(1, 3))]), max_size=2
                )
            ),
            draw(unknown_fields),
        ]
        fields = draw(st.permutations(labels + others)) if draw(st.integers(0, 3)) == 0 else labels + others
        out += [delimited(1, message(*fields), draw(paddings)), draw(unknown_fields)]
    out += draw(st.lists(st.just(delimited(3, number(1, 2) + delimited(2, b"up"))), max_size=2))
    return message(*out)


@st.composite
def v2_bodies(draw: st.DrawFn) -> bytes:
    symbols = [b"", b"__name__", *draw(st.lists(st.binary(max_size=20), min_size=1, max_size=150))]
    references = st.integers(0, len(symbols) - 1)
    out = [delimited(4, symbol, draw(paddings)) for symbol in symbols]
    for _ in range(draw(st.integers(0, 3))):
        refs = [
            part for pair in draw(st.lists(st.tuples(references, references), max_size=4)) for part in pair
        ]
        cut = draw(st.integers(0, len(refs)))
        packed = [delimited(1, message(*map(varint, part))) for part in (refs[:cut], refs[cut:])]
        if draw(st.booleans()):
            packed = [number(1, reference) for reference in refs]
        fields = [
            *packed,
            *draw(st.lists(encoded_samples(True), max_size=3)),
            *draw(
                st.lists(
                    st.sampled_from([delimited(3, number(1, 3)), delimited(4, double(2, 5))]), max_size=2
                )
            ),
            draw(st.sampled_from([b"", delimited(5, b""), delimited(5, number(1, 1) + number(3, 2))])),
            draw(st.sampled_from([b"", number(6, 1_700_000_000_000)])),
            draw(unknown_fields),
        ]
        out += [delimited(5, message(*fields), draw(paddings)), draw(unknown_fields)]
    if draw(st.integers(0, 4)) == 0:  # the symbols need not come first
        out = out[len(symbols) :] + out[: len(symbols)]
    return message(*out)


def told(scanned: Scanned) -> Walked:
    """What a scan found, in the shape of a plain walk, without labels."""
    samples = scanned.samples.copy()
    times, bits, starts = samples[:, 0].view(np.int64), samples[:, 1], samples[:, 2].view(np.int64)
    rows = list(zip(times.tolist(), bits.tolist(), starts.tolist(), strict=True))
    first = scanned.marks[:, 2].tolist()
    kinds = scanned.items[:, 0].tolist()

    def of(kind: int) -> list[int]:
        owners = [series for found, series in scanned.items[:, :2].tolist() if found == kind]
        return [owners.count(series) for series in range(scanned.series_count)]

    return Walked(
        samples=[rows[first[place] : first[place + 1]] for place in range(scanned.series_count)],
        histograms=of(kernels.HISTOGRAM),
        exemplars=of(kernels.EXEMPLAR),
        metadata=kinds.count(kernels.METADATA),
    )


def assert_same(body: bytes, is_v2: bool) -> None:
    walked = walk((Request if is_v2 else WriteRequest).FromString(body), is_v2)
    scanned = SCANNER.scan(np.frombuffer(body, np.uint8).copy(), is_v2)
    found = told(scanned)
    labels, walked.labels = walked.labels, []
    assert found == walked
    keys = [tuple(key) for key in scanned.keys.tolist()]
    texts = [series if is_v2 else bytes(scanned.series_bytes(place)) for place, series in enumerate(labels)]
    for place, text in enumerate(texts):
        for other in range(place):
            if is_v2:  # one set of symbols, one key
                assert (keys[place] == keys[other]) == (text == texts[other])
            elif keys[place] == keys[other]:
                assert labels[place] == labels[other]


@settings(max_examples=150, deadline=None)
@given(v1_bodies())
def test_1_0_equals_a_plain_walk(body: bytes) -> None:
    assert_same(body, is_v2=False)


@settings(max_examples=150, deadline=None)
@given(v2_bodies())
def test_2_0_equals_a_plain_walk(body: bytes) -> None:
    assert_same(body, is_v2=True)


def test_what_senders_write_equals_a_plain_walk() -> None:
    randomness = random.Random(3)
    for _ in range(300):
        assert_same(valid_v1(randomness), is_v2=False)
        request = Request.FromString(valid_v2(randomness))
        for series in request.timeseries:
            del series.labels_refs[len(series.labels_refs) // 2 * 2 :]
            series.labels_refs[:] = [min(ref, 6) for ref in series.labels_refs]
        assert_same(request.SerializeToString(), is_v2=True)


# ---- keys ----------------------------------------------------------------------------------------------------


def _keys(requests: Iterable[bytes], is_v2: bool) -> list[tuple[int, int]]:
    found = []
    for body in requests:
        for high, low in SCANNER.scan(np.frombuffer(body, np.uint8).copy(), is_v2).keys.tolist():
            found.append((high, low))
    return found


def test_the_key_is_that_of_the_labels_and_nothing_else() -> None:
    labels = b"".join(
        delimited(1, delimited(1, b"l%d" % place) + delimited(2, b"value" * place)) for place in range(5)
    )
    sample = delimited(2, double(1, 5) + number(2, 7))
    one, again = _keys([delimited(1, labels + sample), delimited(1, labels + sample * 3)], is_v2=False)
    assert one == again
    changed = []
    for place in range(len(labels)):
        if labels[place : place + 1].isalpha() and labels[place] < 0x80:
            changed.append(delimited(1, labels[:place] + b"Z" + labels[place + 1 :] + sample))
    keys = _keys(changed, is_v2=False)
    assert len(set(keys)) == len(keys) > 40
    assert one not in keys


def test_keys_of_2_0_do_not_depend_on_the_symbols_numbers() -> None:
    def body(symbols: list[bytes], *labels: bytes) -> bytes:
        request = Request(symbols=symbols)
        request.timeseries.add(labels_refs=[symbols.index(label) for label in labels])
        return bytes(request.SerializeToString())

    first = body([b"", b"__name__", b"up", b"job", b"a"], b"__name__", b"up", b"job", b"a")
    other = body([b"", b"a", b"job", b"up", b"help", b"__name__"], b"__name__", b"up", b"job", b"a")
    swapped = body([b"", b"__name__", b"up", b"job", b"a"], b"__name__", b"a", b"job", b"up")
    keys = _keys([first, other, swapped], is_v2=True)
    assert keys[0] == keys[1] != keys[2]


def test_a_reference_beyond_the_symbols_gives_no_known_key() -> None:
    request = Request(symbols=[b"", b"__name__", b"up"])
    for refs in ([1, 2], [1, 2, 9], [1, 2, 9, 10], [1, 2, 1], [1], []):
        request.timeseries.add(labels_refs=refs)
    keys = _keys([request.SerializeToString()], is_v2=True)
    assert len(set(keys)) == len(keys)


def test_keys_are_secret() -> None:
    body = np.frombuffer(delimited(1, delimited(1, delimited(1, b"a"))), np.uint8).copy()
    assert (
        Scanner(np.array([1, 2], np.uint64)).scan(body, False).keys.tolist()
        != SCANNER.scan(body, False).keys.tolist()
    )


# ---- damage --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"\x0a", "beyond the end"),
        (b"\x0a\x05\x12", "beyond the end"),
        (b"\x0a\x02\x12\x7f", "beyond the end"),
        (delimited(1, b"\x12\x09\x09\x00"), "beyond the end"),
        (b"\x0a" + b"\xff" * 9 + b"\x01", "beyond the end"),
        (b"\x0a" + b"\x80" * 9 + b"\x02", "more than 64 bits"),
        (b"\x0a" + b"\x80" * 11, "more than 64 bits"),
        (delimited(1, delimited(2, b"\x10" + b"\xff" * 10 + b"\x01")), "more than 64 bits"),
        (b"\x02\x00", "no valid field number"),
        (b"\x00\x00", "no valid field number"),
        (b"\x0e", "no valid field number"),
        (b"\x0f", "no valid field number"),
        (b"\x64", "no valid field number"),
        (b"\xff\xff\xff\xff\x7f\x00", "no valid field number"),
        (b"\x08\x05", "another wire type"),
        (b"\x18\x05", "another wire type"),
        (delimited(1, b"\x08\x05"), "another wire type"),
        (delimited(1, b"\x10\x05"), "another wire type"),
        (delimited(1, delimited(2, b"\x08\x05")), "another wire type"),
        (delimited(1, delimited(2, b"\x15abcd")), "another wire type"),
        (b"\x63", "beyond the end"),
        (b"\x63\x6c", "does not end where it should"),
        (b"\x63\x6b\x64\x6c", "does not end where it should"),
        (b"\x63\x0e", "no valid field number"),
        (b"\x63\x0a\x7f\x64", "beyond the end"),
    ],
)
def test_faults_of_1_0(body: bytes, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        SCANNER.scan(np.frombuffer(body, np.uint8).copy(), False)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"\x22\x05ab", "beyond the end"),
        (b"\x20\x05", "another wire type"),
        (b"\x28\x05", "another wire type"),
        (delimited(5, b"\x0a\x01\x80"), "beyond the end"),
        (delimited(5, b"\x09abcdefgh"), "another wire type"),
        (delimited(5, delimited(5, b"\x0a\x01a")), "another wire type"),
        (delimited(5, delimited(5, b"\x18\xff")), "beyond the end"),
        (delimited(5, delimited(2, b"\x1d1234")), "another wire type"),
        (delimited(5, b"\x2d1234"), "another wire type"),
    ],
)
def test_faults_of_2_0(body: bytes, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        SCANNER.scan(np.frombuffer(body, np.uint8).copy(), True)


def test_damaged_bodies_are_refused_or_read_as_protobuf_reads_them() -> None:
    outcomes = {"both": 0, "only the kernel refuses": 0, "refused": 0}
    for is_v2, body in bodies(6000, seed=2):
        try:
            scanned = SCANNER.scan(np.frombuffer(body, np.uint8).copy(), is_v2)
        except InvalidInput as error:
            try:
                (Request if is_v2 else WriteRequest).FromString(body)
            except DecodeError:
                outcomes["refused"] += 1
                continue
            # protobuf takes a known field of another wire type for an unknown one, and cuts long varints.
            assert "another wire type" in error.message or "64 bits" in error.message
            outcomes["only the kernel refuses"] += 1
            continue
        try:
            request = (Request if is_v2 else WriteRequest).FromString(body)
        except DecodeError:
            continue  # damage inside of what the scan does not look into
        walked = walk(request, False) if not is_v2 else None
        if walked is not None:
            walked.labels = []
            assert told(scanned) == walked
            outcomes["both"] += 1
    assert min(outcomes.values()) > 5, outcomes


@pytest.mark.parametrize("checked", [False, True], ids=["guard pages", "bounds checked"])
def test_no_read_outside_of_the_body(checked: bool, tmp_path: Path) -> None:
    """In a process of its own, the body between pages that may not be read; once more with checks compiled in."""
    environment = dict(os.environ)
    if checked:
        environment |= {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    done = _python("20000", environment)
    assert done.returncode == 0, done.stderr


def test_the_guard_pages_guard() -> None:
    assert _python("", dict(os.environ)).returncode == -signal.SIGSEGV


def _python(argument: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.telemetry.receive.wire_mutations", *argument.split()]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment, timeout=55
    )


# ---- sizes ---------------------------------------------------------------------------------------------------


def test_many_tiny_messages_are_scanned_with_the_right_sizes() -> None:
    series = delimited(1, delimited(2, b"") * 500 + delimited(3, b"") * 100)
    scanned = SCANNER.scan(np.frombuffer(series * 50 + b"\x0a\x00" * 1000, np.uint8).copy(), False)
    assert (scanned.series_count, len(scanned.samples), len(scanned.items)) == (1050, 25_000, 5_000)
    assert scanned.marks[-1, 2] == 25_000
    scanned = SCANNER.scan(np.frombuffer(delimited(4, b"") * 1000, np.uint8).copy(), True)
    assert len(scanned.symbols) == 1000


@pytest.mark.parametrize(
    ("limit", "part", "is_v2"),
    [
        ("MAX_SERIES", b"\x0a\x00", False),
        ("MAX_SAMPLES", delimited(1, b"\x12\x00" * 100), False),
        ("MAX_ITEMS", b"\x1a\x00", False),
        ("MAX_SYMBOLS", b"\x22\x00", True),
    ],
)
def test_a_request_may_not_hold_more_than_fits(limit: str, part: bytes, is_v2: bool) -> None:
    in_each = part.count(b"\x12\x00") or 1
    body = part * (getattr(remote_write_scan, limit) // in_each + 1)
    with pytest.raises(TooLarge, match="smaller batches"):
        SCANNER.scan(np.frombuffer(body, np.uint8).copy(), is_v2)


def test_snappy_is_refused_by_its_claim() -> None:
    assert inflate(compressed(b"abc" * 100), 300).tobytes() == b"abc" * 100
    with pytest.raises(TooLarge):
        inflate(compressed(b"abc" * 100), 299)
    with pytest.raises(TooLarge):
        inflate(b"\xff\xff\xff\xff\x0f" + b"x", 1 << 20)
    for damaged in (b"", b"\xff", compressed(b"abc" * 100)[:-1], b"\x05\x00a", compressed(b"abc") + b"\x00a"):
        with pytest.raises(InvalidInput, match="no snappy block"):
            inflate(damaged, 1 << 20)
    assert len(inflate(b"\x00", 10)) == 0
