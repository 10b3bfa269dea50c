"""The image's steps without a container engine: the Dockerfile's own commands, entry point, user and rights.

Takes minutes and asks the package index, so only where COPYCATCH_TEST_IMAGE names a Python of its version
(the nightly does). As root the service runs as the image's user; else as whoever runs the test, on the same
read-only folders.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.records import traffic

ROOT = Path(__file__).parents[3]
PYTHON = os.environ.get("COPYCATCH_TEST_IMAGE", "")
pytestmark = [
    pytest.mark.skipif(not PYTHON, reason="takes minutes; COPYCATCH_TEST_IMAGE=python3.12 runs it"),
    pytest.mark.xdist_group("image"),
]
# Cold, the kernels take some 50 s of CPU; a quarter of that tells the two apart on any machine.
START_CPU_S_MAX = 15.0
PEAK_MIB_MAX = 700
N_RECORDS = 2_000
INDEX = ("pip_", "https_", "http_", "no_proxy", "ssl_")  # how the package index is reached


class Image(NamedTuple):
    """What the Dockerfile made of a folder that stands for the root."""

    root: Path
    environment: dict[str, str]
    entry: list[str]
    user: int

    def run(self, *arguments: str, timeout_s: float = 600.0) -> subprocess.CompletedProcess[str]:
        """As its container would: this environment and no other, as this user, without any capability."""
        drop = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups", "--no-new-privs"]
        drop += ["--bounding-set=-all", "--inh-caps=-all"]
        command = [*(drop if os.geteuid() == 0 else []), *self.entry, *arguments]
        return subprocess.run(
            command, env=self.environment, cwd=self.root / "tmp", capture_output=True, text=True,
            timeout=timeout_s, check=False,
        )  # fmt: skip


def stages() -> list[list[tuple[str, str]]]:
    """Instructions and their arguments, by stage."""
    text = re.sub(r"^#.*\n", "", (ROOT / "deploy/Dockerfile").read_text(), flags=re.MULTILINE)
    found: list[list[tuple[str, str]]] = []
    for line in text.replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            found.append([])
        if word:
            found[-1].append((word, rest.strip()))
    return found


def placed(text: str, root: Path) -> str:
    """The same with the folders of the image within the root that stands for it."""
    return re.sub(r"(?<![\w/.])/(opt|etc|var|src)\b", lambda found: f"{root}/{found[1]}", text)


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    # Not below pytest's own folder, which nobody else may enter.
    root = Path(tempfile.mkdtemp(prefix="copycatch-image-"))
    root.chmod(0o755)
    try:
        yield built(root)
    finally:
        subprocess.run(["chmod", "-R", "u+w", str(root)], check=True)
        shutil.rmtree(root)


def assert_others_may_run(python: str, user: int) -> None:
    """At once, not after minutes: a Python below a private folder has libraries that only its owner reads."""
    drop = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if os.geteuid() == 0 else []
    done = subprocess.run([*drop, shutil.which(python) or python, "-c", "import ssl"], check=False)
    assert done.returncode == 0, f"COPYCATCH_TEST_IMAGE: {python} cannot be run by the image's user"


def built(root: Path) -> Image:
    build, _, final = stages()
    user = int(dict(final)["USER"].partition(":")[0])
    assert_others_may_run(PYTHON, user)
    for name in ("src", "opt", "etc/copycatch", "var/lib", "tmp", "bin"):
        (root / name).mkdir(parents=True)
    (root / "bin/python").symlink_to(shutil.which(PYTHON) or PYTHON)
    for word, rest in build:
        if word == "COPY":
            *sources, target = rest.split()
            for source in sources:
                at = root / "src" / (f"{target}{Path(source).name}" if target.endswith("/") else target)
                at.parent.mkdir(parents=True, exist_ok=True)
                (shutil.copytree if (ROOT / source).is_dir() else shutil.copy)(ROOT / source, at)
        if word == "RUN":
            path = f"{root / 'bin'}:/usr/bin:/bin"
            index = {key: os.environ[key] for key in os.environ if key.lower().startswith(INDEX)}
            done = subprocess.run(
                ["sh", "-ec", placed(rest, root)],
                cwd=root / "src", capture_output=True, text=True, timeout=1800,
                env={"PATH": path, "HOME": str(root / "tmp"), **index}, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    said = dict(final)
    shutil.copy(ROOT / "deploy/policy.minimal.yaml", root / "etc/copycatch/policy.yaml")
    environment = {"PATH": f"{placed('/opt/copycatch/bin', root)}:/usr/bin:/bin", "TMPDIR": str(root / "tmp")}
    for pair in shlex.split(placed(said["ENV"], root)):
        name, _, value = pair.partition("=")
        environment.setdefault(name, value)
    state = root / "var/lib/copycatch"
    state.mkdir(mode=0o700)
    (root / "tmp").chmod(0o1777)
    if os.geteuid() == 0:
        os.chown(state, user, user)
    shutil.rmtree(root / "src")
    for name in ("opt", "etc", "bin"):
        subprocess.run(["chmod", "-R", "a-w", str(root / name)], check=True)
    entry = json.loads(said["ENTRYPOINT"])
    return Image(root, environment, [f"{root}/opt/copycatch/bin/{entry[0]}", *entry[1:]], user)


def test_the_user_is_a_number_that_is_nobody() -> None:
    said = dict(stages()[-1])
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", said["USER"])
    assert (said["STOPSIGNAL"], said["CMD"]) == ("SIGTERM", '["run"]')


def test_a_first_start_is_warm_and_writes_only_where_it_may(image: Image) -> None:
    log = image.root / "tmp/log.jsonl"
    log.write_bytes(b"".join(value + b"\n" for _, value in traffic(N_RECORDS)))
    log.chmod(0o644)
    before = os.times()
    done = image.run("run", "--source", str(log), "--sink", f"{image.root}/var/lib/copycatch/out.jsonl")
    after = os.times()
    assert done.returncode in {0, 1}, done.stderr[-3000:]  # 1: done, but too short a log to judge
    said = [json.loads(line) for line in done.stderr.splitlines() if '"event": "done"' in line]
    (summary,) = said or pytest.fail(done.stderr[-3000:])
    assert summary["accepted"] == N_RECORDS
    cpu_s = after.children_user - before.children_user + after.children_system - before.children_system
    assert cpu_s < START_CPU_S_MAX, "the compiled code of the image was not used"
    for name in ("opt", "etc", "bin"):
        find = ["find", str(image.root / name), "-newer", str(log), "-type", "f"]
        written = subprocess.run(find, capture_output=True, text=True, check=True)
        assert written.stdout == "", "on a read-only root this fails"
    owners = {path.lstat().st_uid for path in (image.root / "var/lib/copycatch").rglob("*")}
    assert owners == ({image.user} if os.geteuid() == 0 else {os.geteuid()})


def test_the_peak_of_memory_is_as_stated(image: Image) -> None:
    """Of a start and some thousand records: what the runbook adds accounts and models to."""
    log = image.root / "tmp/log.jsonl"
    entry = f"{image.root}/opt/copycatch/bin/python"
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:]);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)"
    )
    away = f"COPYCATCH_SNAPSHOTS__DIRECTORY={image.root}/var/lib/copycatch/second"
    own = Image(image.root, image.environment, [entry, "-c", code, "env", away, *image.entry], image.user)
    done = own.run("run", "--source", str(log), "--sink", f"{image.root}/var/lib/copycatch/second.jsonl")
    assert '"event": "done"' in done.stderr, done.stderr[-3000:]
    peak_mib = int(done.stdout.split()[-1])
    print(f"peak {peak_mib} MiB")
    assert 100 < peak_mib < PEAK_MIB_MAX


def test_its_version_and_check_run_there_too(image: Image) -> None:
    assert image.run("--version").stdout.startswith("copycatch ")
    assert image.run("check", f"{image.root}/etc/copycatch/policy.yaml").returncode == 0
