"""Every input format as one table."""

from copycatch.formats import (
    bedrock,
    databricks,
    envoy_ai_gateway,
    kong,
    kserve,
    litellm,
    mapping,
    native,
    oip,
    openai,
    otel,
    sagemaker,
)
from copycatch.formats.protocol import CANONICAL_FIELDS, Format

_ROWS: tuple[Format, ...] = (
    Format(native.NAME, native.SENTENCE, native.make_decoder, native.SOURCES),
    Format(kserve.NAME, kserve.SENTENCE, kserve.make_decoder, kserve.SOURCES),
    Format(oip.NAME, oip.SENTENCE, oip.make_decoder, oip.SOURCES),
    Format(openai.NAME, openai.SENTENCE, openai.make_decoder, openai.SOURCES),
    Format(litellm.NAME, litellm.SENTENCE, litellm.make_decoder, litellm.SOURCES),
    Format(otel.NAME, otel.SENTENCE, otel.make_decoder, otel.SOURCES),
    Format(sagemaker.NAME, sagemaker.SENTENCE, sagemaker.make_decoder, sagemaker.SOURCES),
    Format(bedrock.NAME, bedrock.SENTENCE, bedrock.make_decoder, bedrock.SOURCES),
    Format(databricks.NAME, databricks.SENTENCE, databricks.make_decoder, databricks.SOURCES),
    Format(
        envoy_ai_gateway.NAME,
        envoy_ai_gateway.SENTENCE,
        envoy_ai_gateway.make_decoder,
        envoy_ai_gateway.SOURCES,
    ),
    Format(kong.NAME, kong.SENTENCE, kong.make_decoder, kong.SOURCES),
    Format(
        mapping.NAME,
        mapping.SENTENCE,
        mapping.make_decoder,
        dict.fromkeys(CANONICAL_FIELDS, "the pointer that the mapping names"),
    ),
)

FORMATS: dict[str, Format] = {row.name: row for row in _ROWS}
