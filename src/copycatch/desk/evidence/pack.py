"""Writes a pack: recomputes the alert, gathers what it rests on, signs."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from copycatch.contracts.example_policy import policy_text
from copycatch.desk.evidence.log import log_files, records_of
from copycatch.desk.evidence.manifest import MANIFEST, file_hash, signed_manifest
from copycatch.desk.evidence.page import Incident, incident_page
from copycatch.desk.evidence.recipe import (
    ALERTS,
    POLICY,
    RECIPE,
    Recipe,
    Recomputed,
    differences,
    versions_here,
)
from copycatch.errors import ConfigError, TransportError
from copycatch.records.decoding import Decoder
from copycatch.records.policy import Policy
from copycatch.records.wire import ENCODER, Alert, Recommendation
from copycatch.units import format_rfc3339

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

PAGE = "incident.html"
HASH_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Source:
    """What a pack is made of.

    `policy_file` None: the built-in policy. `with_records`: queries go into the pack as they are.
    """

    paths: Sequence[str]
    make_decoder: Callable[[], Decoder]
    format: str | None
    options: Sequence[str]
    policy: Policy
    policy_file: Path | None
    with_records: bool
    now_ms: int


def write_pack(
    folder: Path,
    source: Source,
    log: Sequence[object],
    found: Recomputed,
    announced: Sequence[Alert] | None,
    signer: "CryptoSigner",
) -> list[str] | None:
    """Write the folder, the manifest last.

    Parameters
    ----------
    folder : Path
        Must not be there, or be empty.
    log : sequence of LogFile
        The log's files as they were before it was played.
    found : Recomputed
        The alert, at least one revision.
    announced : sequence of Alert, optional
        The same alert as it was sent at the time.

    Returns
    -------
    list of str or None
        Where the two differ; None where nothing was announced.

    Raises
    ------
    ConfigError
        If the log changed meanwhile.
    TransportError
        If the folder cannot be written.
    """
    last = found.alerts[-1]
    files = log_files(source.paths)
    if files != log:
        msg = f"{', '.join(source.paths)}: was written to meanwhile; copy the log and name the copy"
        raise ConfigError(msg)
    recipe = Recipe(
        uid=last.uid,
        log=files,
        format=source.format,
        options=list(source.options),
        now_ms=source.now_ms,
        policy_version=source.policy.content_version,
        versions=versions_here(),
    )
    differs = None if announced is None else differences(announced, found.alerts)
    try:
        hash_key = None if source.with_records else _new_hash_key(folder)
        folder.mkdir(parents=True, exist_ok=True)
        n_records = _write_records(folder, source, last, hash_key)
        (folder / ALERTS).write_bytes(found.lines)
        _write_lines(folder / "recommendations.jsonl", found.rows)
        if announced is not None:
            _write_lines(folder / "announced.jsonl", announced)
        (folder / POLICY).write_bytes(_policy_bytes(source))
        (folder / RECIPE).write_bytes(msgspec.json.format(msgspec.json.encode(recipe), indent=2))
        hashes = {path.name: file_hash(path) for path in sorted(folder.iterdir())}
        page = incident_page(
            Incident(
                alerts=found.alerts, rows=found.rows, recipe=recipe, differs=differs, n_records=n_records,
                is_hashed=hash_key is not None, made=format_rfc3339(source.now_ms),
                key_id=signer.public_key.keyid,
            ),
            hashes,
        )  # fmt: skip
        (folder / PAGE).write_text(page, "utf-8")
        hashes[PAGE] = file_hash(folder / PAGE)
        facts = {"uid": last.uid, "made": format_rfc3339(source.now_ms), "versions": recipe.versions}
        (folder / MANIFEST).write_bytes(signed_manifest(hashes, facts, signer))
    except OSError as error:
        msg = f"{folder}: cannot be written: {error.strerror}; remove it and start again"
        raise TransportError(msg) from error
    return differs


def hash_key_file(folder: Path) -> Path:
    """Where the key of the hashes lies: beside the pack, never in it."""
    return folder.parent / f"{folder.name}.hash-key"


def _new_hash_key(folder: Path) -> bytes:
    key = secrets.token_bytes(HASH_KEY_BYTES)
    path = hash_key_file(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600, exist_ok=False)  # another pack's key is not written over
    path.write_text(key.hex() + "\n")
    return key


def _write_records(folder: Path, source: Source, alert: Alert, hash_key: bytes | None) -> int:
    n = 0
    accounts = {alert.entity.id, *alert.entity.accounts}
    with (folder / "records.jsonl").open("wb") as file:
        for line in records_of(source.paths, source.make_decoder, accounts, alert.model_id, hash_key):
            file.write(msgspec.json.encode(line) + b"\n")
            n += 1
    return n


def _policy_bytes(source: Source) -> bytes:
    if source.policy_file is None:
        return policy_text(source.policy).encode()
    return source.policy_file.read_bytes()


def _write_lines(path: Path, items: Sequence[Alert | Recommendation]) -> None:
    path.write_bytes(b"".join(ENCODER.encode(item) + b"\n" for item in items))
