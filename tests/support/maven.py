"""Jars that tests run real servers from: fetched once through Maven, kept in a cache."""

import ctypes
import fcntl
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
PR_SET_PDEATHSIG = 1
# Small and quick to start rather than fast: two cores are shared with what is tested.
JVM = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")


class ServerMissing(Exception):  # noqa: N818 (says what is missing; not an error of the code)
    """Why there is no such server to test with."""


def pom(*dependencies: str, without: tuple[str, ...] = ()) -> str:
    """A project that depends on `group:artifact:version` each, leaving out whole groups of theirs."""
    left_out = "".join(
        f"<exclusion><groupId>{group}</groupId><artifactId>*</artifactId></exclusion>" for group in without
    )
    listed = ""
    for each in dependencies:
        group, artifact, version = each.split(":")
        listed += (
            f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>"
            f"<version>{version}</version><exclusions>{left_out}</exclusions></dependency>\n"
        )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>\n'
        "<groupId>copycatch.tests</groupId><artifactId>server</artifactId><version>1</version>\n"
        f"<dependencies>\n{listed}</dependencies></project>\n"
    )


def jars(name: str, project: str, instead: str = "") -> Path:
    """The folder with the jars of `project`; fetched once, also when several test runs start at a time."""
    cache = Path(os.environ.get("COPYCATCH_CACHE") or ROOT / ".cache") / name
    if (cache / "complete").exists():
        return cache / "libs"
    for tool, package in (("java", "a Java runtime, 17 or newer"), ("mvn", "Maven")):
        if shutil.which(tool) is None:
            msg = f"{tool} is not installed ({package}){instead}"
            raise ServerMissing(msg)
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (cache / "complete").exists():
            return cache / "libs"
        (cache / "pom.xml").write_text(project)
        shutil.rmtree(cache / "libs", ignore_errors=True)
        command = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"]
        try:
            done = subprocess.run(
                [*command, f"-DoutputDirectory={cache / 'libs'}"],
                cwd=cache, capture_output=True, text=True, timeout=600, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            msg = f"Maven did not fetch the jars of {name} within 10 minutes"
            raise ServerMissing(msg) from error
        if done.returncode != 0:
            words = [line for line in done.stdout.splitlines() if "ERROR" in line]
            raise ServerMissing(
                f"Maven cannot fetch the jars of {name}: " + (words[0] if words else done.stderr[-500:])
            )
        (cache / "complete").touch()
    return cache / "libs"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def die_with_parent() -> None:
    """The kernel kills the server when the test process dies, however it dies."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
