"""The alert as it is: JSON with fields in the order of the class."""

from copycatch.records.wire import ENCODER, Alert


def encode_native(alert: Alert) -> bytes:
    """One JSON object, as `schemas/v1/alert.schema.json` describes it."""
    return ENCODER.encode(alert)
