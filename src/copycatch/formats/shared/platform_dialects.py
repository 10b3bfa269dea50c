"""Attributes of spans as platforms name them, told in the names of OpenTelemetry's GenAI conventions.

Logfire (`request_data`), MLflow (`mlflow.spanInputs`), Langfuse (`langfuse.observation.input`), the agents of
Google (`gcp.vertex.agent.llm_request`), LiteLLM (`metadata.user_api_key_hash`).
"""

from typing import Any, Final

from copycatch.formats.shared.messages import dig, first, nested_or_text

Attributes = dict[str, Any]

PARAMETERS: Final = "gen_ai.request.parameters"  # all options of a request in one object
TEXTS: Final = "gen_ai.embeddings.input"  # texts to embed, and their vectors
VECTORS: Final = "gen_ai.embeddings.output"


def logfire(attributes: Attributes) -> Attributes:
    request, response = (nested_or_text(attributes.get(f"{side}_data")) for side in ("request", "response"))
    return {
        "gen_ai.request.model": dig(request, "model"),
        "gen_ai.input.messages": asked_messages(request),
        "gen_ai.system_instructions": first(dig(request, "system"), dig(request, "instructions")),
        "gen_ai.tool.definitions": dig(request, "tools"),
        PARAMETERS: request,
        "gen_ai.output.messages": answered_messages(response),
        "gen_ai.usage.input_tokens": dig(response, "usage", "prompt_tokens"),
        "gen_ai.usage.output_tokens": dig(response, "usage", "completion_tokens"),
    }


def mlflow(attributes: Attributes) -> Attributes:
    kind = str(nested_or_text(attributes.get("mlflow.spanType"))).lower()
    asked, answered = (nested_or_text(attributes.get(f"mlflow.span{side}")) for side in ("Inputs", "Outputs"))
    usage = nested_or_text(attributes.get("mlflow.chat.tokenUsage"))
    asks = kind in ("chat_model", "llm", "embedding")
    texts = dig(asked, "input")
    return {
        "gen_ai.operation.name": ("embeddings" if kind == "embedding" else "chat") if asks else "workflow",
        "gen_ai.request.model": first(attributes.get("mlflow.llm.model"), dig(asked, "model")),
        "gen_ai.input.messages": asked_messages(asked),
        "gen_ai.output.messages": answered_messages(answered),
        "gen_ai.tool.definitions": first(
            nested_or_text(attributes.get("mlflow.chat.tools")), dig(asked, "tools")
        ),
        PARAMETERS: asked,
        "gen_ai.usage.input_tokens": dig(usage, "input_tokens"),
        "gen_ai.usage.output_tokens": dig(usage, "output_tokens"),
        "user.id": nested_or_text(attributes.get("mlflow.trace.user")),
        "session.id": nested_or_text(attributes.get("mlflow.trace.session")),
        TEXTS: texts if kind == "embedding" and isinstance(texts, list) else None,
    }


def langfuse(attributes: Attributes) -> Attributes:
    kind = str(attributes.get("langfuse.observation.type") or "").lower()
    observed = "langfuse.observation."
    usage = nested_or_text(attributes.get(f"{observed}usage_details"))
    told: Attributes = {
        "user.id": attributes.get("langfuse.user.id"),
        "session.id": attributes.get("langfuse.session.id"),
        "gen_ai.request.model": attributes.get(f"{observed}model.name"),
        PARAMETERS: nested_or_text(attributes.get(f"{observed}model.parameters")),
        "gen_ai.usage.input_tokens": dig(usage, "input"),
        "gen_ai.usage.output_tokens": dig(usage, "output"),
    }
    if not kind:
        return told
    answered = nested_or_text(attributes.get(f"{observed}output"))
    is_message = isinstance(answered, dict) and "role" in answered
    return {
        **told,
        "gen_ai.operation.name": {"generation": "chat", "embedding": "embeddings"}.get(kind, "workflow"),
        "gen_ai.input.messages": asked_messages(nested_or_text(attributes.get(f"{observed}input"))),
        "gen_ai.output.messages": [answered] if is_message else answered_messages(answered),
    }


def google(attributes: Attributes) -> Attributes:
    """Google's Agent Development Kit."""
    asked, answered = (
        nested_or_text(attributes.get(f"gcp.vertex.agent.llm_{side}")) for side in ("request", "response")
    )
    parts = dig(answered, "content", "parts")
    return {
        "gen_ai.request.model": dig(asked, "model"),
        "gen_ai.input.messages": asked_messages(asked),
        "gen_ai.system_instructions": dig(asked, "config", "system_instruction"),
        "gen_ai.output.messages": [{"role": "assistant", "parts": parts}] if parts else None,
        PARAMETERS: dig(asked, "config"),
    }


def litellm(attributes: Attributes) -> Attributes:
    names = ("user_id", "hash", "end_user_id")
    return {
        "user.id": first(*(attributes.get(f"metadata.user_api_key_{name}") for name in names)),
        "tenant.id": first(
            *(attributes.get(f"metadata.user_api_key_{name}") for name in ("org_id", "team_id"))
        ),
    }


def asked_messages(given: Any) -> Any:
    """Messages of a request, a prompt, or text."""
    if isinstance(given, dict):
        given = first(*(given.get(key) for key in ("messages", "input", "prompt", "contents", "query")))
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    return given if isinstance(given, list) else None


def answered_messages(given: Any) -> Any:
    """Messages of an answer, or text."""
    if isinstance(given, dict):
        choices = given.get("choices")
        messages = (
            [dig(each, "message") for each in choices]
            if isinstance(choices, list)
            else [given.get("message")]
        )
        return [each for each in messages if isinstance(each, dict)] or None
    if isinstance(given, str):
        return [{"role": "assistant", "content": given}]
    return given if isinstance(given, list) else None
