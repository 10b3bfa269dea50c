"""What both Kafka client libraries are given alike: names of topics and transactions, marks on offsets."""

import uuid
from collections.abc import Iterable
from pathlib import Path

from copycatch.errors import ConfigError, TransportError
from copycatch.ports import Committed, Delivery, Kind
from copycatch.settings.service import Kafka, Outputs, Security, Service

# New partitions of a topic are noticed this soon; the libraries' own 5 minutes are long for a live detector.
METADATA_AGE_MS_MAX = 60_000


def topic_by_kind(outputs: Outputs, learning: str | None = None) -> dict[Kind, str]:
    """Where each kind of outcome goes; `learning` is the topic that this role writes for the other."""
    topics: dict[Kind, str] = {
        "alert": outputs.alerts,
        "recommendation": outputs.recommendations,
        "dead_letter": outputs.dead_letters,
    }
    if learning is not None:
        topics["learning"] = learning
    return topics


# A worker that lags takes versions of its own event time: they stay for six hours.
KEPT_VERSIONS = {"cleanup.policy": "compact", "min.compaction.lag.ms": "21600000", "segment.ms": "3600000"}
KEPT_INPUTS = {"cleanup.policy": "delete", "retention.ms": "604800000"}


def missing_learning(settings: Service, present: Iterable[str]) -> dict[str, dict[str, str]]:
    """Topics of the learner that are to be created, each with one partition and its options.

    Raises
    ------
    TransportError
        If some are missing and the settings do not say to create them.
    """
    learner = settings.learner
    wanted = {learner.inputs: KEPT_INPUTS, learner.versions: KEPT_VERSIONS}
    missing = {topic: options for topic, options in wanted.items() if topic and topic not in set(present)}
    if missing and not settings.outputs.create_missing:
        msg = (
            f"learner: topic {', '.join(missing)} does not exist (or is hidden); create it with one "
            "partition (versions with cleanup.policy=compact), or set outputs.create_missing: true"
        )
        raise TransportError(msg)
    return missing


def missing_outputs(outputs: Outputs, present: Iterable[str]) -> dict[str, str]:
    """Output topics that are to be created, each with its clean-up policy.

    Raises
    ------
    TransportError
        If some are missing and the settings do not say to create them.

    Examples
    --------
    >>> outputs = Outputs(create_missing=True)
    >>> missing_outputs(outputs, ["copycatch.alerts", "copycatch.dead-letters"])
    {'copycatch.recommendations': 'compact'}
    """
    missing = sorted(set(topic_by_kind(outputs).values()) - set(present))
    if missing and not outputs.create_missing:
        msg = (
            f"outputs: topic {', '.join(missing)} does not exist (or is hidden); create it, "
            "mend the name, or set outputs.create_missing: true"
        )
        raise TransportError(msg)
    return {topic: "compact" if topic == outputs.recommendations else "delete" for topic in missing}


def inputs_missing(topics: Iterable[str], settings: Service) -> TransportError:
    """The error to raise for input topics that are not there."""
    return TransportError(
        f"inputs: topic {', '.join(topics)} does not exist on "
        f"{', '.join(settings.kafka.bootstrap_servers)} (or may not be seen); "
        "create it, or mend the name"
    )


def transactional_id(kafka: Kafka) -> str:
    """With a name of its own an instance resolves at once what a killed predecessor left open.

    Examples
    --------
    >>> transactional_id(Kafka(group_id="copycatch", instance_id="one"))
    'copycatch-one'
    """
    return f"{kafka.group_id}-{kafka.instance_id or uuid.uuid4().hex}"


def mark_of(delivery: Delivery) -> str:
    """What is kept beside a committed offset: the unit that brought it there; `committed_of` reads it."""
    return f"{delivery.run_id}/{delivery.sequence}"


def committed_of(offset: int, mark: str | None) -> Committed:
    """A committed offset with its unit.

    Examples
    --------
    >>> committed_of(7, "run/3"), committed_of(7, "another tool's").sequence
    (Committed(position=7, sequence=3, run_id='run'), 0)
    """
    run_id, _, sequence = (mark or "").rpartition("/")
    return Committed(offset, int(sequence) if sequence.isdigit() else 0, run_id)


def check_security_files(security: Security) -> None:
    """Refuse files that are not there, before a library says it in its own way.

    Raises
    ------
    ConfigError
        Naming the setting and the file.
    """
    for key in ("ca_file", "certificate_file", "key_file", "token_file"):
        file: Path | None = getattr(security, key)
        if file is not None and not file.is_file():
            msg = f"kafka.security.{key}: {file} does not exist"
            raise ConfigError(msg)
