"""What a reader of a log format declares, and what a topic's settings may say about it."""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from copycatch.formats.shared.mapping_spec import MappingSpec
from copycatch.formats.shared.recognise import Marks, Recognise
from copycatch.records.decoding import Decoder
from copycatch.records.wire import InferenceRecord

CANONICAL_FIELDS: tuple[str, ...] = tuple(
    name for name in InferenceRecord.__struct_fields__ if name != "schema_version"
)
REQUIRED_FIELDS: tuple[str, ...] = ("event_id", "event_time", "account_id", "model_id")


@dataclass(frozen=True, slots=True)
class FormatOptions:
    """What a topic's settings may say about its format."""

    account_pointer: str | None = None
    """JSON pointer to the account within a message, also into JSON that is logged as text, tried first; for
    `otel` a pointer into the attributes, as `/app.customer.id`."""
    account_headers: tuple[str, ...] = ("x-account-id", "x-user-id", "x-consumer-custom-id")
    """HTTP or Kafka headers that name the account where no authenticated field does, first found wins; the
    gateway must overwrite what clients send under these names."""
    account_fallback: Literal["reject", "key", "client_ip"] = "reject"
    """Where nothing names the account: reject, take the Kafka message key, or judge the client address."""
    tenant_headers: tuple[str, ...] = ()
    """Headers that name the tenant; none by default, because clients can send any and hop between tenants."""
    model_id: str | None = None
    """The model where the log names none."""
    event_time: Literal["log", "log_or_arrival"] = "log_or_arrival"
    """Where the log carries no time: reject, or take the timestamp that the broker holds for the message."""
    times: dt.tzinfo | None = None
    """The zone of times that name no offset, as `UTC` or `Europe/Berlin`; None refuses them."""
    proxies_trusted: int = 0
    """Own proxies that append to x-forwarded-for behind the gateway's front; entries left of theirs are the
    client's own claim."""
    join_timeout_s: float = 30.0
    """How long a request waits for its response, or the other way round; longer than the slowest answer."""
    pending_max: int = 20_000
    """Messages that wait at most; the oldest is given up first."""
    pending_bytes_max: int = 64 << 20
    """Bytes of all messages that wait at most."""
    unpaired: Literal["reject", "keep"] = "keep"
    """`keep` judges a request without response by what it asks, and charges its account with it; `reject`
    writes a dead letter."""
    mapping: MappingSpec | None = None
    """For the format `mapping`: which pointer gives which field."""


@dataclass(frozen=True, slots=True)
class Format:
    """What a reader's module declares as `FORMAT`; the catalogue finds it."""

    name: str
    sentence: str
    sources: Mapping[str, str]
    """Where each canonical field comes from, in the log's own terms."""
    make_decoder: Callable[[FormatOptions, Recognise], Decoder]
    """`Recognise` tells messages of other formats, so that they are rejected as such."""
    marks: Marks = ()
    """Ways to recognise the format by fields that only it has; none for a format that must be named."""
    is_own: Callable[[bytes], bool] | None = None
    """Tells messages that are no JSON, by their bytes."""
    precedence: int = 0
    """Formats are recognised in rising order: what gateways and loggers write first, then bare bodies of an
    API, which gateways wrap, then copycatch's own record."""

    def sources_with(self, options: FormatOptions) -> Mapping[str, str]:
        """Where each canonical field comes from; of a mapping, what its file says."""
        return self.sources if options.mapping is None else options.mapping.sources()

    def never_gives(self, options: FormatOptions | None = None) -> frozenset[str]:
        """Canonical fields that no message of this format can fill: features that need them are missing."""
        return frozenset(CANONICAL_FIELDS) - frozenset(self.sources_with(options or FormatOptions()))
