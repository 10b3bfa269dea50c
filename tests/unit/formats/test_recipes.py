"""Files under deploy/recipes: well-formed, and what they configure is what the formats read."""

import asyncio
import importlib
import json
import logging.config
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.formats.support import batch_of, decode, fields_of

from copycatch.enforcement.requests import DEFAULT_NAMES, verdict_headers
from copycatch.enforcement.table import Verdict
from copycatch.formats.shared.format import FormatOptions
from copycatch.settings.formats import format_options
from copycatch.settings.service import Service

RECIPES = Path(__file__).parents[3] / "deploy" / "recipes"
BLOCK = re.compile(r"```yaml\n(.*?)```", re.DOTALL)


def documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all((RECIPES / name).read_text(encoding="utf-8")))


def test_the_access_log_of_the_envoy_recipe_decodes_with_its_account() -> None:
    [proxy] = documents("envoy/envoy-proxy.yaml")
    log_format = proxy["spec"]["telemetry"]["accessLog"]["settings"][0]["format"]["json"]
    values: dict[str, Any] = dict.fromkeys(log_format, "-") | {
        "start_time": "2026-03-01T10:00:00.000Z",
        "x-request-id": "e1",
        "x-account-id": "a1",
        "gen_ai.request.model": "m",
        "gen_ai.usage.input_tokens": 3,
        "response_code": 200,
        "duration": 7,
    }
    assert set(values) == set(log_format)
    [record] = decode("envoy_ai_gateway", batch_of([values])).records
    fields = fields_of(record)
    assert (fields["account_id"], fields["model_id"], fields["input_tokens"]) == ("a1", "m", 3)


def test_the_envoy_policy_passes_the_headers_that_are_spoken() -> None:
    policy = documents("envoy/security-policy.yaml")[0]["spec"]["extAuth"]
    assert {DEFAULT_NAMES.account, DEFAULT_NAMES.tenant, DEFAULT_NAMES.model} <= set(
        policy["headersToExtAuth"]
    )
    params = {"max_top_logprobs": 0, "top_k_labels": 1, "round_decimals": 1, "max_n": 1}
    spoken = verdict_headers(Verdict("reduce_output", dict(params), "k", is_refused=False))
    assert set(spoken) == set(policy["http"]["headersToBackend"])


@pytest.mark.parametrize(
    "path", sorted((RECIPES / "kafka-connect").glob("*.json")), ids=lambda path: path.stem
)
def test_connectors_read_what_is_committed_and_hold_no_secret(path: Path) -> None:
    connector = json.loads(path.read_text(encoding="utf-8"))
    config = connector["config"]
    assert config["topics"] == "copycatch.alerts"
    assert config["consumer.override.isolation.level"] == "read_committed"
    secrets = [value for key, value in config.items() if "password" in key or "token" in key]
    assert secrets
    assert all(value.startswith("${file:") for value in secrets)


@pytest.mark.parametrize(
    "path", sorted(RECIPES.rglob("*.md")), ids=lambda path: str(path.relative_to(RECIPES))
)
def test_settings_in_the_readmes_are_accepted(path: Path) -> None:
    for block in BLOCK.findall(path.read_text(encoding="utf-8")):
        loaded = yaml.safe_load(block)
        settings = {key: value for key, value in loaded.items() if key in Service.model_fields}
        checked = Service.model_validate(settings)
        for each in checked.inputs:
            format_options(each.format, each.options)


def test_the_kserve_recipe_logs_both_halves_with_the_account() -> None:
    [service] = documents("kserve/inference-service.yaml")
    logger = service["spec"]["predictor"]["logger"]
    assert logger["mode"] == "all"
    assert DEFAULT_NAMES.account in [name.lower() for name in logger["metadataHeaders"]]


def test_the_vllm_recipe_names_the_account_of_each_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(RECIPES / "vllm"))
    recipe = importlib.import_module("copycatch_vllm")
    config = json.loads((RECIPES / "vllm" / "logging.json").read_text(encoding="utf-8"))
    logging.config.dictConfig({**config, "loggers": {"vllm": {**config["loggers"]["vllm"]}}})
    logger = logging.getLogger("vllm.entrypoints.logger")

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        logger.info(
            "Received request %s: prompt: %r, params: %s, lora_request: None.", scope["id"], "it's", "P(n=1)"
        )

        async def stream() -> None:  # an answer is sent from a task of its own
            logger.info("Generated response %s (streaming complete): output: %r, output_token_ids: %s, "
                        "finish_reason: %s", scope["id"], "yes", [1, 2], "stop")  # fmt: skip

        await asyncio.gather(asyncio.sleep(0), stream())

    async def serve() -> None:
        serving = recipe.Account(app)
        headers = [[(b"x-account-id", b"forged"), (b"X-Account-Id", f"acct-{i}".encode())] for i in range(3)]
        scopes = [{"type": "http", "id": f"cmpl-{i}", "headers": each} for i, each in enumerate(headers)]
        await asyncio.gather(*(serving(scope, None, None) for scope in scopes))

    asyncio.run(serve())
    logging.getLogger("vllm").handlers.clear()
    lines = [line.encode() for line in capsys.readouterr().out.splitlines()]
    decoded = decode("vllm", batch_of(lines), FormatOptions(model_id="m"))
    assert decoded.rejects == []
    found = [(each.event_id, each.account_id, each.input, each.output_text) for each in decoded.records]
    assert sorted(found) == [(f"cmpl-{i}", f"acct-{i}", "it's", "yes") for i in range(3)]
