"""What travels on the wire: inference records in, alerts, recommendations and rejects out.

The field names are a contract (schema version 1): add fields, rename none. JSON Schemas under `schemas/`
are generated from these classes.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct

from copycatch.records.drill import DrillFlag

RECORD_BYTES_MAX = 1 << 20  # the broker's default (message.max.bytes); longer ones are attacks or bugs
MESSAGE_BYTES_MAX = 16 << 20  # of a log line: one with a photo in it still counts as a query
ID_CHARS_MAX = 512  # an id is a name, not a payload; ids become state, log fields and message keys
TEXT_CHARS_MAX = 1 << 18
VECTOR_LENGTH_MAX = 1 << 16
SCHEMA_VERSION = "1.0"

Rfc3339 = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Id = Annotated[str, Meta(min_length=1, max_length=ID_CHARS_MAX)]
Text = Annotated[str, Meta(max_length=TEXT_CHARS_MAX)]
Vector = Annotated[list[float], Meta(max_length=VECTOR_LENGTH_MAX)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Word = Annotated[str, Meta(min_length=1, max_length=64)]
References = Annotated[list[Id], Meta(max_length=64)]


class Blob(Struct, frozen=True, gc=False):
    """A vector as base64 of its little-endian values."""

    b64: Annotated[
        Annotated[str, Meta(max_length=RECORD_BYTES_MAX)],
        Meta(description="Base64 of the little-endian values."),
    ]
    dtype: Annotated[
        Literal["u1", "f2", "f4"],
        Meta(description="Type of one value: u1 (0 to 255), f2 or f4 (IEEE 754 half or single)."),
    ]


class Params(Struct, frozen=True, gc=False):
    """Request options that matter to extraction."""

    logprobs: Annotated[bool | None, Meta(description="Whether log probabilities were asked for.")] = None
    top_logprobs: Annotated[
        Count | None, Meta(description="How many alternatives per token were asked for.")
    ] = None
    logit_bias: Annotated[
        dict[str, float] | Count | None, Meta(description="Bias by token, or the number of biased tokens.")
    ] = None
    n: Annotated[Count | None, Meta(description="Answers asked for.")] = None
    temperature: Annotated[float | None, Meta(description="Sampling temperature.")] = None
    max_tokens: Annotated[Count | None, Meta(description="Limit of generated tokens.")] = None


class InferenceRecord(Struct, kw_only=True, gc=False):
    """One query and its answer, in the native input format, version 1.

    Every format decodes to this. Unknown fields are kept out, not refused. A record holds no references in a
    circle, so the garbage collector need not look at it (`gc=False`): thousands live at once in a poll.
    """

    event_id: Annotated[
        Id, Meta(description="Unique id of the query. Repeats within a bounded horizon are dropped.")
    ]
    event_time: Annotated[
        Rfc3339 | int,
        Meta(
            description="When the query was answered: RFC 3339 with offset, or integer epoch milliseconds. "
            "Event time, never the time of arrival."
        ),
    ]
    account_id: Annotated[
        Id, Meta(description="Who is judged: the customer, user or service account behind the query.")
    ]
    model_id: Annotated[
        Id, Meta(description="The model that answered. Accounts are compared with others of the same model.")
    ]
    tenant_id: Annotated[
        Id | None, Meta(description="The organisation the account belongs to; policies may differ by tenant.")
    ] = None
    api_key_id: Annotated[
        Id | None,
        Meta(description="Id of the key that was used, never the key. Replaced by a keyed hash at intake."),
    ] = None
    user_agent: Annotated[Text | None, Meta(description="The client software as it names itself.")] = None
    client_ip: Annotated[
        Annotated[str, Meta(max_length=64)] | None, Meta(description="Address of the client, IPv4 or IPv6.")
    ] = None
    model_version: Annotated[Id | None, Meta(description="Version of the model that answered.")] = None
    input: Annotated[
        Text | Vector | Blob | None,
        Meta(description="What was asked: text, a list of features, or a vector as base64."),
    ] = None
    embedding: Annotated[
        Vector | Blob | None,
        Meta(description="Embedding of the input, by one model for all records; better than one made here."),
    ] = None
    predicted_label: Annotated[Id | int | None, Meta(description="The class that was answered.")] = None
    probabilities: Annotated[
        Vector | None, Meta(description="Probabilities of all classes, in the model's order.")
    ] = None
    top_scores: Annotated[Vector | None, Meta(description="The highest probabilities only, descending.")] = (
        None
    )
    output_text: Annotated[Text | None, Meta(description="The generated answer.")] = None
    params: Annotated[
        Params | None, Meta(description="Options of the request that matter to extraction.")
    ] = None
    input_tokens: Annotated[Count | None, Meta(description="Tokens of the prompt.")] = None
    output_tokens: Annotated[Count | None, Meta(description="Tokens of the answer.")] = None
    latency_ms: Annotated[float | None, Meta(description="From request to answer, in milliseconds.")] = None
    status: Annotated[
        Annotated[int, Meta(ge=0, le=999)] | None,
        Meta(description="HTTP status of the answer; absent means 200."),
    ] = None
    conversation_id: Annotated[
        Id | None, Meta(description="Id of the conversation or session. Replaced by a keyed hash at intake.")
    ] = None
    turn: Annotated[
        Count | None, Meta(description="Turns of the user in the request so far, from 1; tools take none.")
    ] = None
    prompt_index: Annotated[
        Count | None, Meta(description="Place of the input in a request that asks several, from 0.")
    ] = None
    system_hash: Annotated[
        Id | None, Meta(description="Hash of the system prompt, or its name. Hashed by a key at intake.")
    ] = None
    tools_hash: Annotated[
        Id | None, Meta(description="Hash of the tools on offer, or their name. Hashed by a key at intake.")
    ] = None
    reasoning_refs: Annotated[
        References | None,
        Meta(
            description="Ids or hashes of reasoning blocks and answers that the request sends back or refers "
            "to. Hashed by a key at intake."
        ),
    ] = None
    reasoning_issued: Annotated[
        References | None, Meta(description="The same of those that the answer issued.")
    ] = None
    finish_reason: Annotated[Word | None, Meta(description="Why the answer ended, as the API says it.")] = (
        None
    )
    asn: Annotated[
        Annotated[int, Meta(ge=0, lt=2**32)] | None,
        Meta(description="Number of the autonomous system that the client's address belongs to."),
    ] = None
    account_created: Annotated[
        Rfc3339 | int | None, Meta(description="When the account was opened; as event_time.")
    ] = None
    plan: Annotated[Word | None, Meta(description="What the account pays for, as free or enterprise.")] = None
    schema_version: Annotated[
        str | None, Meta(description="Version of this schema, 1.x; absent means 1.0.")
    ] = None


RejectReason = Literal[
    "not_json",  # not UTF-8 JSON at all
    "schema",  # JSON, but a field is missing, of the wrong type or out of its bounds
    "too_large",
    "not_finite",  # NaN or infinity in a number
    "far_future",
    "set_aside",  # the process died twice while it judged it
    "unknown_version",
    "unjoined",  # a request or a response whose other half never came
    "wrong_format",  # valid, but not of the format that this topic is set to
]


class Rejected(Struct, frozen=True, kw_only=True):
    """A record that could not be taken, as written to the dead-letter topic.

    `excerpt` is bounded, has control characters escaped and every value of a sensitive field masked.
    """

    reason: Annotated[RejectReason, Meta(description="Why the message could not be taken.")]
    field: Annotated[
        str | None,
        Meta(description="Path of the field at fault, as `params.top_logprobs` or `probabilities[3]`."),
    ]
    message: Annotated[str, Meta(description="What is wrong and what would be right.")]
    topic: Annotated[str, Meta(description="Topic or file the message came from.")]
    partition: Annotated[int, Meta(description="Partition it came from.")]
    offset: Annotated[int, Meta(description="Its offset, or line number from 0.")]
    excerpt: Annotated[
        str, Meta(description="Start of the message with contents masked and control characters escaped.")
    ]
    value_bytes: Annotated[int, Meta(description="Length of the message.")]
    account_id: Annotated[str | None, Meta(description="Whose it is, where readable.")] = None
    schema_version: Annotated[str, Meta(description="Version of this schema.")] = SCHEMA_VERSION


Severity = Literal["low", "medium", "high", "critical"]
SEVERITIES: tuple[Severity, ...] = ("low", "medium", "high", "critical")
Mode = Literal["enforce", "shadow"]
Op = Literal["open", "update", "close", "reopen"]
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

    feature: Annotated[str, Meta(description="Name of the feature in the catalogue.")]
    value: Annotated[float, Meta(description="Its value for the entity.")]
    normal_low: Annotated[
        float | None, Meta(description="5 % quantile of normal accounts at about the same number of queries.")
    ]
    normal_high: Annotated[
        float | None,
        Meta(description="95 % quantile of normal accounts at about the same number of queries."),
    ]
    tail_prob: Annotated[
        float | None,
        Meta(description="Share of normal accounts that deviate at least as far in this feature."),
    ]
    share: Annotated[float, Meta(description="Part of the score that the feature accounts for, in [0, 1].")]
    words: Annotated[str, Meta(description="The same as a sentence.")]


class Score(Struct, frozen=True, kw_only=True):
    """How anomalous, as a probability and as a sentence."""

    tail_prob: Annotated[
        float | None,
        Meta(
            description="Chance that a normal account is ever this anomalous within one day; null for limits."
        ),
    ]
    rank: Annotated[str, Meta(description="The same in words.")]
    attack_prob: Annotated[
        float | None,
        Meta(
            description="Chance of an attack if one account in fifty extracts, by what simulated ones taught."
        ),
    ] = None


class Entity(Struct, frozen=True, kw_only=True):
    """Who is judged; `accounts` is bounded, `accounts_total` is not."""

    kind: Annotated[
        Literal["account", "campaign", "model"],
        Meta(description="One account, several that act as one, or a model that is not judged."),
    ]
    id: Annotated[str, Meta(description="The account id, or the campaign's own id.")]
    accounts: Annotated[list[str], Meta(description="The accounts; bounded, see accounts_total.")]
    accounts_total: Annotated[int, Meta(description="How many accounts there are in all.")]


class Alert(Struct, frozen=True, kw_only=True):
    """A finding as the SIEM gets it (native format)."""

    uid: Annotated[
        str,
        Meta(
            description="Hash of rule, entity and start of the episode: the same finding always has the same "
            "uid, so sinks can store it idempotently."
        ),
    ]
    op: Annotated[
        Op,
        Meta(
            description="open when the episode starts, update while it lasts, close when it has ended, "
            "reopen when it goes on after all: what follows a close under one uid is a reopen."
        ),
    ]
    time: Annotated[Rfc3339, Meta(description="Event time of the finding.")]
    first_seen: Annotated[Rfc3339, Meta(description="First query of the entity that the finding rests on.")]
    last_seen: Annotated[Rfc3339, Meta(description="Latest query of the entity that the finding rests on.")]
    severity: Annotated[Severity, Meta(description="How far beyond the alert budget the entity lies.")]
    mode: Annotated[Mode, Meta(description="shadow: computed and sent, but not meant to be acted upon.")]
    tenant_id: Annotated[str | None, Meta(description="Tenant of the entity, where the log names one.")]
    model_id: Annotated[str, Meta(description="The model that is being queried.")]
    entity: Annotated[Entity, Meta(description="Who is judged.")]
    score: Annotated[Score, Meta(description="How anomalous the entity is.")]
    rule: Annotated[str, Meta(description="Name of the policy rule that fired.")]
    policy_version: Annotated[str, Meta(description="Content hash of the policy in force.")]
    detector_version: Annotated[str, Meta(description="Version of copycatch.")]
    window_s: Annotated[float, Meta(description="Length of the evidence window in seconds.")]
    queries: Annotated[int, Meta(description="Queries seen from the entity.")]
    reasons: Annotated[
        list[Reason], Meta(description="Features that speak most for the finding, strongest first.")
    ]
    sample_event_ids: Annotated[
        list[str], Meta(description="Ids of some of the queries, to look up in the log.")
    ]
    techniques: Annotated[list[str], Meta(description="Ids of MITRE ATLAS techniques.")]
    recommendation: Annotated[
        str | None, Meta(description="decision_key of the recommendation that goes with the alert, if any.")
    ]
    words: Annotated[str, Meta(description="One paragraph that an analyst can act on.")]
    client_ips: Annotated[list[str], Meta(description="Addresses the entity came from, bounded.")] = []
    looks_like: Annotated[
        list[str], Meta(description="Kinds of harmless use that the account resembles, in words.")
    ] = []
    part_of: Annotated[str | None, Meta(description="Uid of the campaign's alert that goes on.")] = None
    traceparent: Annotated[str | None, Meta(description="W3C trace context of the query behind it.")] = None
    drill: DrillFlag = UNSET
    schema_version: Annotated[str, Meta(description="Version of this schema.")] = SCHEMA_VERSION


ActionParams = dict[str, int | float | str | None]


class Recommendation(Struct, frozen=True, kw_only=True):
    """What the enforcement point should do about an entity; one row of its table."""

    decision_key: Annotated[
        str, Meta(description="tenant|scope|value|model: the row of the enforcement point's table.")
    ]
    revision: Annotated[int, Meta(description="Rises by one per key; ignore what is not newer by epoch.")]
    op: Annotated[
        Literal["upsert", "revoke"], Meta(description="upsert puts the row in force, revoke takes it back.")
    ]
    mode: Annotated[Mode, Meta(description="shadow: do not enforce, only count what would have happened.")]
    action: Annotated[Action, Meta(description="What to do with the entity's queries.")]
    action_rank: Annotated[
        Annotated[int, Meta(ge=0, le=6)],
        Meta(description="Strength of the action, 0 (observe) to 6 (revoke_key)."),
    ]
    action_params: Annotated[
        ActionParams,
        Meta(description="Parameters of the action, such as max_top_logprobs or queries_per_minute."),
    ]
    fallback_action: Annotated[
        Action | None, Meta(description="What to do where the action is not supported.")
    ]
    requires_human: Annotated[bool, Meta(description="Do not apply before a person has agreed.")]
    scope: Annotated[Literal["account", "api_key", "campaign", "ip"], Meta(description="What `value` names.")]
    value: Annotated[str, Meta(description="The account, key, campaign or address.")]
    tenant_id: Annotated[str | None, Meta(description="Tenant of the entity, where the log names one.")]
    model_id: Annotated[str, Meta(description="The model for which it applies.")]
    issued_at: Annotated[Rfc3339, Meta(description="When the recommendation was made.")]
    expires_at: Annotated[
        Rfc3339 | None,
        Meta(description="When it ends by itself; the enforcement point honours this without a revoke."),
    ]
    ttl_s: Annotated[float | None, Meta(description="The same as a length of time in seconds.")]
    severity: Annotated[Severity, Meta(description="Severity of the alert behind it.")]
    score: Annotated[Score, Meta(description="How anomalous the entity is.")]
    alert_uids: Annotated[list[str], Meta(description="Alerts that the recommendation rests on.")]
    reasons: Annotated[list[Reason], Meta(description="Features that speak most for it, strongest first.")]
    techniques: Annotated[list[str], Meta(description="Ids of MITRE ATLAS techniques.")]
    policy_version: Annotated[str, Meta(description="Content hash of the policy in force.")]
    mitigations: Annotated[
        list[str], Meta(description="Ids of MITRE ATLAS mitigations that the action amounts to.")
    ] = []
    accounts: Annotated[
        list[str],
        Meta(description="Scope campaign: the accounts it holds for; a later revision names who joined."),
    ] = []
    epoch: Annotated[
        int,
        Meta(
            description="Event time of issue in epoch milliseconds. It never falls per key, also where "
            "revisions begin again because the judge lost its state: the message with the higher "
            "(epoch, revision) holds. 0: from a version without it; go by revision."
        ),
    ] = 0
    decided_by: Annotated[
        str | None, Meta(description="Who made this revision, where a person did and not the detector.")
    ] = None
    decided_why: Annotated[str | None, Meta(description="Why that person did.")] = None
    drill: DrillFlag = UNSET
    schema_version: Annotated[str, Meta(description="Version of this schema.")] = SCHEMA_VERSION


class Ack(Struct, frozen=True, kw_only=True):
    """What the enforcement point did with a recommendation."""

    decision_key: Annotated[str, Meta(description="The recommendation it is about.")]
    revision: Annotated[int, Meta(description="Which revision of it.")]
    result: Annotated[
        Literal["applied", "rejected", "unsupported"], Meta(description="What the enforcement point did.")
    ]
    time: Annotated[
        Rfc3339 | int, Meta(description="When: RFC 3339 with offset, or integer epoch milliseconds.")
    ]
    message: Annotated[str | None, Meta(description="Why, where it was not applied.")] = None
    epoch: Annotated[int, Meta(description="The recommendation's epoch.")] = 0
    schema_version: Annotated[
        str | None, Meta(description="Version of this schema, 1.x; absent means 1.0.")
    ] = None


ENCODER = msgspec.json.Encoder(order="deterministic")
