"""A real S3 API for tests: s3proxy over a folder, on a free loopback port, its jars through Maven, cached."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.maven import JVM, ServerMissing, die_with_parent, free_port, jars, pom

S3PROXY_VERSION = "4.1.0"
# Its stores in other clouds stay behind; of the annotations it needs the version that its JSON library does.
CLOUDS = ("com.azure", "com.google.cloud", "com.github.openstack4j.core", "org.apache.sshd")
PROJECT = pom(
    f"org.gaul:s3proxy:{S3PROXY_VERSION}",
    "com.fasterxml.jackson.core:jackson-annotations:2.22",
    without=CLOUDS,
)
QUIET = '<configuration><root level="WARN"/></configuration>'


class S3Server:
    """Signed requests only; a bucket is a folder in `folder`, an object a file in it."""

    key_id = "tests"
    secret = "of no worth, and 1 server's only"

    def __init__(self) -> None:
        libs = jars(f"s3proxy-{S3PROXY_VERSION}", PROJECT)
        self._home = Path(tempfile.mkdtemp(prefix="copycatch-s3-"))
        self.folder = self._home / "buckets"
        self.folder.mkdir()
        self.port = free_port()
        config = {
            "s3proxy.endpoint": f"http://127.0.0.1:{self.port}",
            "s3proxy.authorization": "aws-v2-or-v4",
            "s3proxy.identity": self.key_id,
            "s3proxy.credential": self.secret,
            "jclouds.provider": "filesystem-nio2",
            "jclouds.identity": "none",
            "jclouds.credential": "none",
            "jclouds.filesystem.basedir": str(self.folder),
        }
        (self._home / "s3proxy.conf").write_text("".join(f"{key}={value}\n" for key, value in config.items()))
        (self._home / "logback.xml").write_text(QUIET)
        self._command = [
            "java", *JVM, f"-Dlogback.configurationFile={self._home}/logback.xml", "-cp", f"{libs}/*",
            "org.gaul.s3proxy.Main", "--properties", str(self._home / "s3proxy.conf"),
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What lets S3's usual libraries in; nothing else of the machine's is asked for credentials."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": self.key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def make_bucket(self, name: str) -> Path:
        """As whoever runs the store does it, not as copycatch might."""
        bucket = self.folder / name
        bucket.mkdir()
        return bucket

    def start(self, timeout_s: float = 90.0) -> None:
        with (self._home / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self._home,
                start_new_session=True, preexec_fn=die_with_parent,  # noqa: PLW1509 (no lock is taken there)
            )  # fmt: skip
        deadline = time.monotonic() + timeout_s
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                words = (self._home / "log.txt").read_text(errors="replace")[-1500:]
                self.stop()
                msg = f"s3proxy did not start within {timeout_s:.0f} s: {words}"
                raise ServerMissing(msg)
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection,
        ):
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return connection.recv(5) == b"HTTP/"
        return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(20)
            self._process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._home, ignore_errors=True)


@contextlib.contextmanager
def running_s3() -> Iterator[S3Server]:
    """A started server; tried again when another process was quicker to take the port."""
    for attempt in range(3):
        server = S3Server()
        try:
            server.start()
            break
        except ServerMissing:
            server.remove()
            if attempt == 2:
                raise
    try:
        yield server
    finally:
        server.remove()
