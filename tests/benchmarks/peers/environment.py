"""Makes the environment of peers whose pins contradict ours: Quix Streams wants an older pydantic.

python -m tests.benchmarks.peers.environment
"""

import subprocess
import sys
import tomllib
import venv

from tests.benchmarks.isolated import ROOT
from tests.benchmarks.kafka_loop import PEER_PYTHON


def main() -> int:
    """Create it, or say why not; exit code 0 when it is there."""
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["peers"]
    folder = PEER_PYTHON.parents[1]
    if not PEER_PYTHON.exists():
        venv.create(folder, with_pip=True)
    done = subprocess.run(
        [str(PEER_PYTHON), "-m", "pip", "install", "--quiet", "--prefer-binary", *packages], check=False
    )
    words = "is ready" if done.returncode == 0 else "does not install here; that peer will be left out"
    print(f"Quix Streams {words}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
