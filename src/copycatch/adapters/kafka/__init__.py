"""Apache Kafka through kafka-python.

Takes: settings. Gives: `KafkaSource` and `KafkaSink` behind the ports, sharing one group membership.
Never: retries of its own; it says which errors may pass (`RecoverableError`), which leave a unit's fate
open (`FencedError`), and which need an operator (`TransportError`).
"""
