"""Apache Kafka through confluent-kafka (librdkafka): the extra `copycatch[confluent]`.

Takes: the same settings as `adapters/kafka`, with `kafka.client: confluent`. Gives: `ConfluentSource` and
`ConfluentSink` behind the same ports, with the same guarantees. Never: retries of its own beyond those of
librdkafka; it says which errors pass (`RecoverableError`), which leave a unit's fate open (`FencedError`),
and which need an operator (`TransportError`).
"""
