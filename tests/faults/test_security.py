"""TLS, SCRAM, PLAIN, OAUTHBEARER and ACLs against a real broker; secrets that stay secret."""

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import no_server
from tests.support.broker import Broker, running_broker
from tests.support.counting import expected_uids
from tests.support.delivery import COUNTING, shards_of, written_uids
from tests.support.maven import ServerMissing
from tests.support.records import traffic
from tests.support.service import ServiceProcess, Topics, ended, produce, wait_drained

pytestmark = pytest.mark.kafka
LOGINS = "org.apache.kafka.common.security"
PASSWORD = "correct horse battery staple"


@dataclass
class Certificates:
    ca: Path
    server_store: Path  # PEM, key and chain in one file
    client: Path
    client_key: Path


def openssl(*arguments: str, folder: Path) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=300)


def make_certificates(folder: Path) -> Certificates:
    """A CA, a server certificate for localhost and a client certificate, with openssl as operators do it."""
    ca = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-ca -keyout ca.key -out ca.pem"
    openssl(*ca.split(), folder=folder)
    (folder / "names").write_text("subjectAltName=DNS:localhost")
    for name, subject in (("server", "/CN=localhost"), ("client", "/CN=copycatch")):
        request = f"req -newkey rsa:2048 -nodes -subj {subject} -keyout {name}.key -out {name}.csr"
        openssl(*request.split(), folder=folder)
        sign = f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names"
        openssl(*sign.split(), "-out", f"{name}.pem", folder=folder)
    store = folder / "server-store.pem"
    store.write_text((folder / "server.key").read_text() + (folder / "server.pem").read_text())
    return Certificates(folder / "ca.pem", store, folder / "client.pem", folder / "client.key")


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Broker, Certificates]]:
    """A broker with a listener a mechanism over TLS, and ACLs that let `copycatch` in only."""
    certificates = make_certificates(tmp_path_factory.mktemp("certificates"))
    extra = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificates.server_store),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(certificates.ca),
        "listener.name.mutual.ssl.client.auth": "required",
        "listener.name.secured.sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.secured.scram-sha-512.sasl.jaas.config": f"{LOGINS}.scram.ScramLoginModule required;",
        "listener.name.plain.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.plain.plain.sasl.jaas.config": (
            f'{LOGINS}.plain.PlainLoginModule required user_copycatch="{PASSWORD}";'
        ),
        # Kafka's own validator of unsigned tokens, which is made for tests.
        "listener.name.bearer.sasl.enabled.mechanisms": "OAUTHBEARER",
        "listener.name.bearer.oauthbearer.sasl.jaas.config": (
            f'{LOGINS}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";'
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS;User:copycatch;User:CN=copycatch",
    }
    try:
        with running_broker(
            extra=extra,
            listeners={"SECURED": "SASL_SSL", "PLAIN": "SASL_SSL", "BEARER": "SASL_SSL", "MUTUAL": "SSL"},
            scram={"copycatch": PASSWORD, "stranger": PASSWORD},
        ) as broker:
            yield broker, certificates
    except ServerMissing as reason:
        no_server("Kafka", reason)


def secured_service(
    broker: Broker, topics: Topics, folder: Path, listener: str, security: dict[str, Any]
) -> ServiceProcess:
    servers = f"localhost:{broker.port_by_listener[listener]}"
    return ServiceProcess(servers, topics, folder, module=COUNTING, more={"kafka": {"security": security}})


def test_scram_over_tls(secured: tuple[Broker, Certificates], tmp_path: Path) -> None:
    broker, certificates = secured
    topics = Topics.make(broker.servers)
    security = {
        "protocol": "SASL_SSL",
        "mechanism": "SCRAM-SHA-512",
        "username": "copycatch",
        "ca_file": str(certificates.ca),
    }
    service = secured_service(broker, topics, tmp_path, "SECURED", security)
    produce(broker.servers, topics.records, traffic(300))
    with ended(service):
        service.start({"COPYCATCH_KAFKA__SECURITY__PASSWORD": PASSWORD}, ["--log-level", "debug"])
        service.servers, there = broker.servers, service.servers
        wait_drained(service, 300)
        service.servers = there
        assert service.stop() == 0
    assert written_uids(broker.servers, topics) == expected_uids(shards_of(broker.servers, topics))
    assert PASSWORD not in service.log


def unsigned_token(subject: str, lives_s: float) -> str:
    """A JWT with `alg: none`."""
    now_s = time.time()
    parts = {"alg": "none"}, {"sub": subject, "iat": round(now_s, 3), "exp": round(now_s + lives_s, 3)}
    words = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*words, ""])


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "OAUTHBEARER"])
def test_other_mechanisms_over_tls(
    secured: tuple[Broker, Certificates], tmp_path: Path, mechanism: str, client: str
) -> None:
    broker, certificates = secured
    topics = Topics.make(broker.servers)
    security = {"protocol": "SASL_SSL", "mechanism": mechanism, "ca_file": str(certificates.ca)}
    secret_file = tmp_path / "secret"
    if mechanism == "PLAIN":
        secret_file.write_text(PASSWORD)
        security |= {"username": "copycatch", "password_file": str(secret_file)}
    else:
        secret_file.write_text(unsigned_token("copycatch", 3600))
        security["token_file"] = str(secret_file)
    listener = "PLAIN" if mechanism == "PLAIN" else "BEARER"
    service = secured_service(broker, topics, tmp_path, listener, security)
    service.more = {"kafka": {"security": security, "client": client}}
    produce(broker.servers, topics.records, traffic(100))
    with ended(service):
        service.start(None, ["--log-level", "debug"])
        service.servers = broker.servers
        wait_drained(service, 100)
        assert service.stop() == 0
    assert written_uids(broker.servers, topics) == expected_uids(shards_of(broker.servers, topics))
    assert secret_file.read_text() not in service.log


def test_a_token_that_has_expired_is_refused(secured: tuple[Broker, Certificates], tmp_path: Path) -> None:
    broker, certificates = secured
    topics = Topics("records", "alerts", "recommendations", "dead-letters")
    (tmp_path / "token").write_text(unsigned_token("copycatch", -3600))
    security = {
        "protocol": "SASL_SSL",
        "mechanism": "OAUTHBEARER",
        "token_file": str(tmp_path / "token"),
        "ca_file": str(certificates.ca),
    }
    service = secured_service(broker, topics, tmp_path, "BEARER", security)
    service.more = {"kafka": {"security": security, "request_timeout": "5s"}}
    with ended(service):
        service.start()
        assert service.wait_end() == 3
    assert (tmp_path / "token").read_text() not in service.log


def test_client_certificate(secured: tuple[Broker, Certificates], tmp_path: Path) -> None:
    broker, certificates = secured
    topics = Topics.make(broker.servers)
    security = {
        "protocol": "SSL",
        "ca_file": str(certificates.ca),
        "certificate_file": str(certificates.client),
        "key_file": str(certificates.client_key),
    }
    service = secured_service(broker, topics, tmp_path, "MUTUAL", security)
    produce(broker.servers, topics.records, traffic(100))
    with ended(service):
        service.start()
        service.wait_for("shard begins")
        assert service.stop() == 0


@pytest.mark.parametrize(
    ("username", "password", "words"),
    [("copycatch", "hunter2-is-not-it", "username and password"), ("stranger", PASSWORD, "or is hidden")],
)
def test_who_is_refused_is_told(
    secured: tuple[Broker, Certificates], tmp_path: Path, username: str, password: str, words: str
) -> None:
    broker, certificates = secured
    topics = Topics.make(broker.servers)
    (tmp_path / "password").write_text(password + "\n")
    security = {
        "protocol": "SASL_SSL",
        "mechanism": "SCRAM-SHA-512",
        "username": username,
        "password_file": str(tmp_path / "password"),
        "ca_file": str(certificates.ca),
    }
    service = secured_service(broker, topics, tmp_path, "SECURED", security)
    with ended(service):
        service.start()
        assert service.wait_end() == 3
    assert words in service.events("stopped")[0]["reason"]
    assert password not in service.log


def test_a_server_that_is_not_ours_is_refused(secured: tuple[Broker, Certificates], tmp_path: Path) -> None:
    broker, _ = secured
    other = tmp_path / "other"
    other.mkdir()
    security = {"protocol": "SSL", "ca_file": str(make_certificates(other).ca)}
    topics = Topics("records", "alerts", "recommendations", "dead-letters")
    service = secured_service(broker, topics, tmp_path, "MUTUAL", security)
    service.more = {"kafka": {"security": security, "request_timeout": "3s"}}
    with ended(service):
        service.start()
        assert service.wait_end() == 3
