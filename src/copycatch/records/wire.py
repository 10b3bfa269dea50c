"""What travels on the wire: inference records in, alerts, recommendations and rejects out.

The field names are a contract (schema version 1): add fields, rename none. JSON Schemas under `schemas/`
are generated from these classes.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

RECORD_BYTES_MAX = (
    1 << 20
)  # the broker's own default limit (message.max.bytes); longer ones are attacks or bugs
ID_CHARS_MAX = 512  # an id is a name, not a payload; ids become state, log fields and message keys
TEXT_CHARS_MAX = 1 << 18
VECTOR_LENGTH_MAX = 1 << 16
SCHEMA_VERSION = "1.0"

Id = Annotated[str, Meta(min_length=1, max_length=ID_CHARS_MAX)]
Text = Annotated[str, Meta(max_length=TEXT_CHARS_MAX)]
Vector = Annotated[list[float], Meta(max_length=VECTOR_LENGTH_MAX)]
Count = Annotated[int, Meta(ge=0, le=2**53)]


class Blob(Struct, frozen=True, gc=False):
    """A vector as base64 of its little-endian values."""

    b64: Annotated[str, Meta(max_length=RECORD_BYTES_MAX)]
    dtype: Literal["u1", "f2", "f4"]


class Params(Struct, frozen=True, gc=False):
    """Request options that matter to extraction."""

    logprobs: bool | None = None
    top_logprobs: Count | None = None
    logit_bias: dict[str, float] | Count | None = None
    n: Count | None = None
    temperature: float | None = None
    max_tokens: Count | None = None


class InferenceRecord(Struct, kw_only=True, gc=False):
    """One query and its answer, in the native input format, version 1.

    Every format decodes to this. Unknown fields are kept out, not refused. A record holds no references in a
    circle, so the garbage collector need not look at it (`gc=False`): thousands live at once in a poll.
    """

    event_id: Id
    event_time: str | int  # RFC 3339 text or epoch milliseconds; event time, never arrival time
    account_id: Id
    model_id: Id
    tenant_id: Id | None = None
    api_key_id: Id | None = None
    user_agent: Text | None = None
    client_ip: Annotated[str, Meta(max_length=64)] | None = None
    model_version: Id | None = None
    input: Text | Vector | Blob | None = None
    embedding: Vector | Blob | None = None
    predicted_label: Id | int | None = None
    probabilities: Vector | None = None
    top_scores: Vector | None = None
    output_text: Text | None = None
    params: Params | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    latency_ms: float | None = None
    status: Annotated[int, Meta(ge=0, le=999)] | None = None
    schema_version: str | None = None


RejectReason = Literal[
    "not_json",  # not UTF-8 JSON at all
    "schema",  # JSON, but a field is missing, of the wrong type or out of its bounds
    "too_large",
    "not_finite",  # NaN or infinity in a number
    "far_future",
    "vector_length",  # disagrees with the other records of its model
    "unknown_version",
    "unjoined",  # a request or a response whose other half never came
    "wrong_format",  # valid, but not of the format that this topic is set to
]


class Rejected(Struct, frozen=True, kw_only=True):
    """A record that could not be taken, as written to the dead-letter topic.

    `excerpt` is bounded, has control characters escaped and every value of a sensitive field masked.
    """

    reason: RejectReason
    field: str | None  # path of the field, as `params.top_logprobs` or `probabilities[3]`
    message: str  # what is wrong and what would be right
    topic: str
    partition: int
    offset: int
    excerpt: str
    value_bytes: int
    schema_version: str = SCHEMA_VERSION


Severity = Literal["low", "medium", "high", "critical"]
SEVERITIES: tuple[Severity, ...] = ("low", "medium", "high", "critical")
Mode = Literal["enforce", "shadow"]
Action = Literal["observe", "throttle", "reduce_output", "perturb", "challenge", "block", "revoke_key"]
ACTIONS: tuple[Action, ...] = (
    "observe",
    "throttle",
    "reduce_output",
    "perturb",
    "challenge",
    "block",
    "revoke_key",
)
ACTION_RANKS: dict[Action, int] = {action: rank for rank, action in enumerate(ACTIONS)}


class Reason(Struct, frozen=True, kw_only=True):
    """One feature's part in a verdict."""

    feature: str
    value: float
    normal_low: float | None  # 5 % quantile of normal accounts at about the same number of queries
    normal_high: float | None  # 95 % quantile
    tail_prob: float | None  # share of normal accounts at least this odd in this feature
    share: float  # of the score, in [0, 1]
    words: str


class Score(Struct, frozen=True, kw_only=True):
    """How odd, as a probability and in words."""

    tail_prob: float | None  # chance per day that a normal account is ever this odd; None for plain limits
    rank: str  # in words: "odder than 99.98 % of normal account-days"
    attack_prob: float | None = None  # where the pretrained model speaks


class Entity(Struct, frozen=True, kw_only=True):
    """Who is judged; `accounts` is bounded, `accounts_total` is not."""

    kind: Literal["account", "campaign"]
    id: str
    accounts: list[str]
    accounts_total: int


class Alert(Struct, frozen=True, kw_only=True):
    """A finding as the SIEM gets it (native format)."""

    uid: str  # hash of rule, entity and episode start: a repeat after a crash has the same uid
    op: Literal["open", "update", "close"]
    time: str
    first_seen: str
    last_seen: str
    severity: Severity
    mode: Mode
    tenant_id: str | None
    model_id: str
    entity: Entity
    score: Score
    rule: str
    policy_version: str
    detector_version: str
    window_s: float
    queries: int
    reasons: list[Reason]  # strongest first
    sample_event_ids: list[str]
    techniques: list[str]
    recommendation: str | None  # its decision_key
    words: str  # one paragraph an analyst can act on
    client_ips: list[str] = []
    looks_like: list[str] = []  # benign kinds that the account resembles, in words
    schema_version: str = SCHEMA_VERSION


ActionParams = dict[str, int | float | str | None]


class Recommendation(Struct, frozen=True, kw_only=True):
    """What the enforcement point should do about an entity; one row of its table."""

    decision_key: str  # "tenant|scope|value|model"
    revision: int  # rises by one per key
    op: Literal["upsert", "revoke"]
    mode: Mode
    action: Action
    action_rank: Annotated[int, Meta(ge=0, le=6)]
    action_params: ActionParams
    fallback_action: Action | None
    requires_human: bool
    scope: Literal["account", "api_key", "campaign", "ip"]
    value: str
    tenant_id: str | None
    model_id: str
    issued_at: str
    expires_at: str | None
    ttl_s: float | None
    severity: Severity
    score: Score
    alert_uids: list[str]
    reasons: list[Reason]
    techniques: list[str]
    policy_version: str
    mitigations: list[str] = []  # MITRE ATLAS ids of what the action does
    schema_version: str = SCHEMA_VERSION


class Feedback(Struct, frozen=True, kw_only=True):
    """An analyst's verdict on an alert, from the feedback topic."""

    alert_uid: str
    verdict: Literal["attack", "benign", "unsure"]
    time: str | int
    comment: str | None = None
    schema_version: str | None = None


class Ack(Struct, frozen=True, kw_only=True):
    """What the enforcement point did with a recommendation."""

    decision_key: str
    revision: int
    result: Literal["applied", "rejected", "unsupported"]
    time: str | int
    message: str | None = None
    schema_version: str | None = None


ENCODER = msgspec.json.Encoder(order="deterministic")
