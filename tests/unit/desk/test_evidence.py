"""An incident as a signed folder: written, checked, recomputed, and every tampering named."""

import base64
import hashlib
import hmac
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.unit.cli.test_desk_commands import START_MS

from copycatch.__main__ import main
from copycatch.desk.evidence.manifest import merkle_root

# The test vectors of the certificate transparency project for RFC 6962.
LEAVES = [
    bytes.fromhex(each)
    for each in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


@pytest.mark.parametrize("n", ROOTS)
def test_the_root_is_that_of_rfc_6962(n: int) -> None:
    assert merkle_root(LEAVES[:n]) == ROOTS[n]


def _keys(folder: Path, name: str) -> tuple[str, str]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return str(private), str(public)


POLICY = """\
version: 1
rules: [{name: fast, when: {feature: queries_per_s, above: 0.05}, severity: high, action: block}]
"""
Made = tuple[Path, str, str, str]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a log, a policy, alerts, keys and the pack made of them: one replay for all tests."""
    folder = tmp_path_factory.mktemp("original")
    log, policy, alerts = (str(folder / name) for name in ("log.jsonl", "policy.yaml", "alerts.jsonl"))
    Path(policy).write_text(POLICY)
    records = [
        {"event_id": f"{account}{n}", "event_time": START_MS + n * 1000 * gap_s, "account_id": account,
         "model_id": "m", "input": f"question {n}"}
        for n in range(60) for account, gap_s in (("fast", 1), ("slow", 60))
    ]  # fmt: skip
    records.sort(key=lambda record: str(record["event_time"]))
    Path(log).write_text("".join(json.dumps(record) + "\n" for record in records))
    main(["replay", log, "--policy", policy, "--alerts", alerts, "--quiet"])
    uid = json.loads(Path(alerts).read_text().splitlines()[0])["uid"]
    private, _ = _keys(folder, "key")
    pack = str(folder / "pack")
    given = ["evidence", uid[:8], "--log", log, "--policy", policy, "--alerts", alerts, "--key", private]
    assert main([*given, "-o", pack]) == 0
    assert main([*given, "-o", pack]) == 2, "an existing folder is left alone"
    return folder


@pytest.fixture
def made(original: Path, tmp_path: Path) -> Made:
    """A copy of it to spoil: the pack; the public key; the log; the announced alerts."""
    shutil.copytree(original, tmp_path, dirs_exist_ok=True)
    public, log, alerts = (str(tmp_path / name) for name in ("key.pub.pem", "log.jsonl", "alerts.jsonl"))
    return tmp_path / "pack", public, log, alerts


def test_what_was_written_verifies_and_recomputes(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    pack, public, log_file, alerts = made
    verify = ["evidence", "verify", str(pack), "--public-key", public]
    assert main([*verify, "--recompute", "--log", log_file]) == 0
    assert "bit for bit the same" in capsys.readouterr().out
    assert (pack / "announced.jsonl").read_bytes() == Path(alerts).read_bytes()
    assert main(["evidence", "verify", str(pack)]) == 2, "the public key is not taken from the pack"
    Path(log_file).write_text(Path(log_file).read_text().replace("question 7", "question 8"))
    assert main([*verify, "--recompute", "--log", log_file]) == 1
    assert "the log is not the one that was signed" in capsys.readouterr().out


def test_records_are_keyed_hashes_unless_asked_for(made: Made) -> None:
    pack, _, log_file, _ = made
    everything = b"".join(path.read_bytes() for path in pack.iterdir())
    assert b"question" not in everything
    lines = [json.loads(line) for line in (pack / "records.jsonl").read_text().splitlines()]
    assert len(lines) == 60
    assert {line["account_id"] for line in lines} == {"fast"}
    key_file = pack.parent / "pack.hash-key"
    assert key_file.stat().st_mode & 0o777 == 0o600
    message = Path(log_file).read_bytes().splitlines()[lines[9]["position"]]
    key = bytes.fromhex(key_file.read_text().strip())
    assert hmac.new(key, message, hashlib.sha256).hexdigest() == lines[9]["message_hmac_sha256"]
    assert hashlib.sha256(message).hexdigest() not in everything.decode()


def test_records_go_in_whole_where_that_is_asked_for(
    made: Made,
    tmp_path: Path,
) -> None:
    pack, public, log_file, _ = made
    uid = json.loads((pack / "recipe.json").read_text())["uid"]
    given = [
        "evidence",
        uid,
        "--log",
        log_file,
        "--policy",
        str(tmp_path / "policy.yaml"),
        "--key",
        str(tmp_path / "key.pem"),
    ]
    assert main([*given, "--with-records", "-o", str(tmp_path / "whole")]) == 0
    first = json.loads((tmp_path / "whole" / "records.jsonl").read_text().splitlines()[0])
    assert first["record"]["input"] == "question 0"
    assert main(["evidence", "verify", str(tmp_path / "whole"), "--public-key", public]) == 0


@pytest.mark.parametrize(
    ("tamper", "told"),
    [
        (lambda pack: (pack / "policy.yaml").write_text("version: 1\n"), "changed: policy.yaml"),
        (lambda pack: (pack / "records.jsonl").unlink(), "missing: records.jsonl"),
        (lambda pack: (pack / "note.txt").write_text("x"), "added: note.txt"),
        (
            lambda pack: (
                shutil.move(pack / "recipe.json", pack.parent / "r"),
                (pack / "recipe.json").symlink_to(pack.parent / "r"),
            ),
            "no plain file: recipe.json",
        ),
    ],
)
def test_each_tampering_is_named(
    made: Made,
    tamper: object,
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pack, public, _, _ = made
    tamper(pack)  # type: ignore[operator]
    assert main(["evidence", "verify", str(pack), "--public-key", public]) == 1
    assert capsys.readouterr().out.splitlines() == [told]


def test_a_manifest_of_another_key_or_another_text_is_refused(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack, public, _, _ = made
    _, other = _keys(tmp_path, "other")
    assert main(["evidence", "verify", str(pack), "--public-key", other]) == 3
    manifest = pack / "manifest.dsse.json"
    envelope = json.loads(manifest.read_text())
    payload = base64.b64decode(envelope["payload"]).replace(b"policy.yaml", b"policy.yamL")
    for broken in (
        json.dumps({**envelope, "payload": base64.b64encode(payload).decode()}),
        json.dumps({**envelope, "signatures": []}),
        json.dumps({**envelope, "signatures": 7}),
        json.dumps({**envelope, "payload": "%"}),
        "[]",
        "",
    ):
        manifest.write_text(broken)
        assert main(["evidence", "verify", str(pack), "--public-key", public]) == 3, broken
    assert "was changed, or was not signed by this key" in capsys.readouterr().err


def test_openssl_verifies_the_signature(made: Made, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    pack, public, _, _ = made
    envelope = json.loads((pack / "manifest.dsse.json").read_text())
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
    assert kind == b"application/vnd.in-toto+json"
    signed, signature = tmp_path / "signed", tmp_path / "signature"
    signed.write_bytes(b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload))
    signature.write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin", "-in", str(signed)]
    assert subprocess.run([*command, "-sigfile", str(signature)], check=False).returncode == 0
    subjects = {each["name"]: each["digest"]["sha256"] for each in json.loads(payload)["subject"]}
    assert subjects == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in pack.iterdir()
        if path.name != "manifest.dsse.json"
    }


def test_what_was_announced_otherwise_is_told(
    made: Made,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, _, log_file, alerts = made
    text = Path(alerts).read_text()
    uid = json.loads(text.splitlines()[0])["uid"]
    Path(alerts).write_text(text.replace('"severity":"high"', '"severity":"critical"', 1))
    given = [
        "evidence",
        uid,
        "--log",
        log_file,
        "--policy",
        str(tmp_path / "policy.yaml"),
        "--key",
        str(tmp_path / "key.pem"),
    ]
    assert main([*given, "--alerts", alerts, "-o", str(tmp_path / "second")]) == 1
    assert "announced and recomputed differ: revision 1" in capsys.readouterr().out
    assert "DIFFER" in (tmp_path / "second" / "incident.html").read_text()
    assert main(["evidence", "ffffffff", *given[2:], "-o", str(tmp_path / "none")]) == 1
    assert not (tmp_path / "none").exists()


def test_nothing_of_a_log_is_markup_in_the_page(made: Made, tmp_path: Path) -> None:
    policy = str(made[0].parent / "policy.yaml")
    hostile = "<img src=x onerror=alert(1)>"
    records = [
        {"event_id": f"e{n}", "event_time": 1_772_359_200_000 + n * 1000, "account_id": hostile,
         "model_id": hostile, "input": "q"}
        for n in range(60)
    ]  # fmt: skip
    path, alerts = tmp_path / "hostile.jsonl", tmp_path / "hostile-alerts.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    main(["replay", str(path), "--policy", policy, "--alerts", str(alerts), "--quiet"])
    uid = json.loads(alerts.read_text().splitlines()[0])["uid"]
    given = ["--log", str(path), "--policy", policy, "--key", str(tmp_path / "key.pem")]
    assert main(["evidence", uid, *given, "-o", str(tmp_path / "other")]) == 0
    page = (tmp_path / "other" / "incident.html").read_text()
    assert "<img" not in page
    assert "http" not in page
