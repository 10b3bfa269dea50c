"""Lines that container runtimes cut are read in one piece, however they come, and none waits for ever."""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.formats.support import batch_of

from copycatch.formats.catalog import make_decoder
from copycatch.formats.shared.cut_lines import STREAMS_MAX
from copycatch.formats.shared.envelopes import picked
from copycatch.formats.shared.format import FormatOptions
from copycatch.records.columns import RawBatch
from copycatch.records.decoding import Decoded, Decoder
from copycatch.service.recognition import recognise_all

CUT_BYTES = 16_384


def line(n: int, n_bytes: int) -> str:
    record = {"event_id": f"e{n}", "event_time": 1784000000000 + n, "account_id": f"a{n}", "model_id": "m"}
    return json.dumps({**record, "input": f"{n} lake " * (n_bytes // 7)})


LINES = [line(0, 100), line(1, 20_000), line(2, 50_000), line(3, 200)]


def cut(text: str, n: int = CUT_BYTES) -> list[str]:
    return [text[at : at + n] for at in range(0, len(text), n)]


def docker() -> Iterator[Any]:
    for text in LINES:
        for part in cut(text + "\n"):
            yield {"log": part, "stream": "stdout", "time": "2026-07-01T10:00:00Z"}


def docker_stripped() -> Iterator[Any]:
    """As shippers send it that take newlines off."""
    for text in LINES:
        for part in cut(text):
            yield {"log": part, "stream": "stdout", "kubernetes": {"docker_id": "c1"}}


def tagged(names: Callable[[str], str], key: str) -> Iterator[Any]:
    for n, text in enumerate(LINES):
        parts = cut(text)
        for at, part in enumerate(parts, 1):
            if len(parts) == 1:
                yield {"container_id": "c1", "source": "stdout", key: part}
                continue
            last = "true" if at == len(parts) else "false"
            tags = {"message": "true", "id": f"p{n}", "ordinal": str(at), "last": last}
            yield {key: part, "source": "stdout", **{names(name): tag for name, tag in tags.items()}}


def containerd(is_parsed: bool) -> Iterator[Any]:
    for text in LINES:
        parts = cut(text, 100)
        for at, part in enumerate(parts, 1):
            tag = "F" if at == len(parts) else "P"
            if is_parsed:
                yield {"time": "2026-07-01T10:00:00Z", "stream": "stdout", "logtag": tag, "log": part}
            else:
                yield f"2026-07-01T10:00:00.123456789Z stdout {tag} {part}".encode()


def containerd_held() -> Iterator[Any]:
    """Fluent Bit without a parser."""
    for each in containerd(is_parsed=False):
        yield {"date": 1.5, "log": each.decode(), "kubernetes": {"pod_name": "p"}}


def fluentd() -> Iterator[Any]:
    return tagged(lambda name: f"partial_{name}", "log")


def out_of_order() -> Iterator[Any]:
    found = list(fluentd())
    found[1:3] = found[2:0:-1]
    return iter(found)


def journald() -> Iterator[Any]:
    return tagged(lambda name: f"CONTAINER_PARTIAL_{name.upper()}", "MESSAGE")


def two_containers() -> Iterator[Any]:
    """In one topic, by turns."""
    queues = [
        [{"log": part, "stream": "stdout", "kubernetes": {"docker_id": name}} for part in cut(text + "\n")]
        for name, text in (("c1", LINES[2]), ("c2", LINES[1]), ("c3", LINES[0]), ("c4", LINES[3]))
    ]
    for turn in range(max(map(len, queues))):
        yield from (queue[turn] for queue in queues if turn < len(queue))


RUNTIMES: dict[str, Callable[[], Iterator[Any]]] = {
    "docker": docker,
    "docker, stripped": docker_stripped,
    "fluentd": fluentd,
    "fluentd, out of order": out_of_order,
    "journald": journald,
    "containerd": lambda: containerd(is_parsed=False),
    "containerd, parsed": lambda: containerd(is_parsed=True),
    "containerd, as it stands": containerd_held,
    "two containers": two_containers,
}


def ended(decoder: Decoder, decoded: Decoded) -> Decoded:
    for now_ms in (0, 1 << 62):
        decoded.add(decoder.flush(now_ms))
    return decoded


def in_batches(batch: RawBatch, size: int, *, is_restarted: bool) -> Decoded:
    decoded, decoder = Decoded(), make_decoder("native", FormatOptions())
    n = len(batch.values)
    for at in range(0, n, size):
        decoded.add(decoder.decode_lazily(picked(batch, list(range(at, min(at + size, n))))))
        if is_restarted:
            state = decoder.snapshot()
            decoder = make_decoder("native", FormatOptions())
            if state:
                decoder.restore(state)
    return ended(decoder, decoded)


@pytest.mark.parametrize("name", RUNTIMES)
def test_cut_lines_are_read_whole(name: str) -> None:
    batch = batch_of(list(RUNTIMES[name]()))
    n = len(batch.values)
    assert recognise_all(batch) == {"native": 4}
    for size, is_restarted in ((n, False), (1, False), (1, True), (3, True)):
        decoded = in_batches(batch, size, is_restarted=is_restarted)
        assert decoded.rejects == []
        found = {each.event_id: each for each in decoded.records}
        assert {key: each.input for key, each in found.items()} == {
            f"e{at}": json.loads(text)["input"] for at, text in enumerate(LINES)
        }
        assert len(decoded.records) == 4
        assert n == len(decoded.records) + decoded.notes["joined"], "nothing is lost without being counted"
        assert decoded.positions[-1] == batch.positions[-1] or "two" in name, "where the last part stood"


def test_an_end_that_never_comes_is_counted_and_said() -> None:
    [first, *_] = cut(LINES[2])
    parts = [{"log": first, "stream": "stdout"}, {"log": LINES[0] + "\n", "stream": "stderr"}]
    decoder = make_decoder("native", FormatOptions())
    decoded = ended(decoder, decoder.decode(batch_of(parts)))
    assert [each.event_id for each in decoded.records] == ["e0"]
    [reject] = decoded.rejects
    assert (reject.reason, reject.offset) == ("unjoined", 100)
    assert reject.message.startswith(
        "a line that a container runtime cut, of which 1 part came: the log ended; "
    )


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_whole_line_behind_a_part_is_its_own(end: str) -> None:
    """The part's end was lost: what follows is not swallowed."""
    [first, *_] = cut(LINES[2])
    texts = [first, LINES[0] + end, LINES[1] + end, *cut(LINES[2] + end)]
    decoder = make_decoder("native", FormatOptions())
    decoded = ended(decoder, decoder.decode(batch_of([{"log": text, "stream": "stdout"} for text in texts])))
    assert [each.event_id for each in decoded.records] == ["e0", "e1", "e2"]
    assert [each.message.partition(": ")[2].partition(";")[0] for each in decoded.rejects] == [
        "another line came instead"
    ]


def test_short_text_without_newline_begins_no_line() -> None:
    """Shippers take newlines off: a word of a program must not swallow the record behind it."""
    texts = ["[INFO] up", "{not json", LINES[0]]
    decoder = make_decoder("native", FormatOptions())
    decoded = ended(decoder, decoder.decode(batch_of([{"log": text, "stream": "stdout"} for text in texts])))
    assert [each.event_id for each in decoded.records] == ["e0"]
    assert len(decoded.rejects) == 2


def test_what_waits_is_bounded() -> None:
    [first, *_] = cut(LINES[2])
    parts = [
        {"log": first, "partial_message": "true", "partial_id": f"p{n}", "partial_ordinal": "1"}
        for n in range(STREAMS_MAX + 5)
    ]
    decoder = make_decoder("native", FormatOptions())
    decoded = decoder.decode(batch_of(parts))
    assert [each.offset for each in decoded.rejects] == [100, 101, 102, 103, 104]
    few = make_decoder("native", FormatOptions(pending_bytes_max=100_000))
    assert len(few.decode(batch_of(parts)).rejects) == STREAMS_MAX + 5 - 6


SHORT = [line(n, 60) for n in range(3)]
PIECES = st.one_of(
    st.sampled_from(
        [*SHORT, SHORT[0][:40], SHORT[0][40:], SHORT[1][:50], SHORT[1][50:], "", "x" * CUT_BYTES]
    ),
    st.text(max_size=20),
)
TAGS = st.fixed_dictionaries(
    {},
    optional={
        "stream": st.sampled_from(["stdout", "stderr", 7]),
        "logtag": st.sampled_from(["P", "F", "X"]),
        "partial_message": st.sampled_from(["true", True, "false"]),
        "partial_id": st.sampled_from(["a", "b", 1, None]),
        "partial_ordinal": st.sampled_from(["1", "2", "0", "many", 3, -1, 10**9]),
        "partial_last": st.sampled_from(["true", "false", True]),
        "kubernetes": st.sampled_from([{"pod_name": "p"}, "x", None]),
    },
)


@st.composite
def messages(draw: st.DrawFn) -> Any:
    text, kind = draw(PIECES), draw(st.sampled_from(["log", "message", "cri", "bare"]))
    if kind == "bare":
        return text.encode()
    if kind == "cri":
        tag = draw(st.sampled_from(["P", "F", "P:x", "Q"]))
        return f"2026-07-01T10:00:00.123456789Z stdout {tag} {text}".encode()
    return {kind: text + draw(st.sampled_from(["", "\n"])), **draw(TAGS)}


@given(found=st.lists(messages(), max_size=12), size=st.integers(1, 12))
@settings(max_examples=80, deadline=None)
def test_whatever_comes_nothing_is_lost_without_being_counted(found: list[Any], size: int) -> None:
    batch = batch_of(found)
    decoded = in_batches(batch, size, is_restarted=size % 2 == 0) if found else Decoded()
    notes = decoded.notes
    n_out = len(decoded.records) + len(decoded.rejects) + notes["skipped"] + notes["joined"]
    assert len(found) + notes["split"] == n_out
    assert {each.event_id for each in decoded.records} <= {f"e{n}" for n in range(3)}


def test_base64_of_kafka_in_a_file() -> None:
    packed = [base64.b64encode(text.encode()).decode() for text in LINES]
    dumps = [
        {"topic": "t", "partition": 0, "offset": n, "timestamp": 1, "key": "YTE=", "value": text}
        for n, text in enumerate(packed)
    ]
    for messages in (dumps, [text.encode() for text in packed]):
        batch = batch_of(messages)
        assert recognise_all(batch) == {"native": 4}
        assert len(make_decoder("native", FormatOptions()).decode(batch).records) == 4
