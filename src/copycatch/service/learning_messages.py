"""Messages between workers and learner: signed, in parts below the brokers' limit.

Whoever could write them unsigned could blind the detector. A part names the whole that it belongs to by its
digest; wholes are put together when all their parts have come.
"""

import hashlib
import hmac
import zlib
from typing import Any, Final, NamedTuple

import msgspec

from copycatch.errors import StateError

PART_BYTES: Final = 700_000  # brokers take messages of a million bytes unless told otherwise
PARTS_MAX: Final = 1_024
WAITING_MAX: Final = 4_096  # parts of wholes that are not complete
MAC_BYTES: Final = 32
ZLIB_LEVEL: Final = 1
WHOLE_BYTES_MAX: Final = 1 << 30


class _Part(msgspec.Struct, array_like=True):
    name: str
    digest: bytes
    index: int
    count: int
    chunk: bytes


class Whole(NamedTuple):
    """What was told at once, by its name."""

    name: str
    digest: bytes
    content: bytes


def digest_of(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


def to_messages(name: str, content: bytes, key: bytes) -> list[tuple[bytes, bytes]]:
    """Keys and values; the key is the name and the number of the part.

    Examples
    --------
    >>> whole = Joiner(b"k" * 16)
    >>> [found.name for _, value in to_messages("a", b"x" * 9, b"k" * 16) if (found := whole.add(value))]
    ['a']
    """
    packed, digest = zlib.compress(content, ZLIB_LEVEL), digest_of(content)
    chunks = [packed[at : at + PART_BYTES] for at in range(0, len(packed), PART_BYTES)]
    messages = []
    for index, chunk in enumerate(chunks):
        part = msgspec.msgpack.encode(_Part(name, digest, index, len(chunks), chunk))
        messages.append((f"{name}|{index}".encode(), part + _mac(part, key)))
    return messages


def _mac(part: bytes, key: bytes) -> bytes:
    return hmac.new(key, b"copycatch learning 1\n" + part, hashlib.sha256).digest()


class Joiner:
    """Puts wholes together; the longest waiting give way."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._waiting: dict[tuple[str, bytes], dict[int, bytes]] = {}

    def to_plain(self) -> list[list[object]]:
        """What waits, for a snapshot."""
        return [[name, digest, own] for (name, digest), own in self._waiting.items()]

    def put_plain(self, plain: list[list[Any]]) -> None:
        """Take over what `to_plain` gave."""
        self._waiting = {(name, digest): dict(own) for name, digest, own in plain}

    def add(self, value: bytes) -> Whole | None:
        """The whole that this part completes; None while others are missing.

        Raises
        ------
        StateError
            If the part is damaged or signed with another key.
        """
        body, mac = value[:-MAC_BYTES], value[-MAC_BYTES:]
        if not hmac.compare_digest(_mac(body, self._key), mac):
            message = "a message between workers and learner is damaged, or signed with another learner.key"
            raise StateError(message)
        part = _decoded(body)
        own = self._waiting.setdefault((part.name, part.digest), {})
        own[part.index] = part.chunk
        if len(own) < part.count:
            while len(self._waiting) > WAITING_MAX:
                del self._waiting[next(iter(self._waiting))]
            return None
        del self._waiting[part.name, part.digest]
        content = _unpacked(b"".join(own[index] for index in sorted(own)))
        if digest_of(content) != part.digest:
            message = f"the parts of {part.name!r} do not make the whole that they name"
            raise StateError(message)
        return Whole(part.name, part.digest, content)


def _decoded(body: bytes) -> _Part:
    try:
        part = msgspec.msgpack.decode(body, type=_Part)
    except msgspec.DecodeError as error:
        message = f"a message between workers and learner cannot be read: {error}"
        raise StateError(message) from error
    if not 0 <= part.index < part.count <= PARTS_MAX:
        message = f"part {part.index} of {part.count} of {part.name!r}: no such part"
        raise StateError(message)
    return part


def _unpacked(packed: bytes) -> bytes:
    try:
        inflate = zlib.decompressobj()
        content = inflate.decompress(packed, WHOLE_BYTES_MAX)
    except zlib.error as error:
        message = f"a message between workers and learner cannot be read: {error}"
        raise StateError(message) from error
    if not inflate.eof:
        message = f"a message between workers and learner has more than {WHOLE_BYTES_MAX:,} bytes"
        raise StateError(message)
    return content
