"""Makes the environment of peers whose pins contradict ours.

python -m tests.benchmarks.peers.environment
"""

import subprocess
import sys
import venv

from tests.benchmarks.kafka_loop import PEER_PYTHON

# Quix Streams wants older pydantic and confluent-kafka than the product's constraints name.
PACKAGES = ("quixstreams>=3.20,<4", "msgspec>=0.20")


def main() -> int:
    """Create it, or say why not; exit code 0 when it is there."""
    folder = PEER_PYTHON.parents[1]
    if not PEER_PYTHON.exists():
        venv.create(folder, with_pip=True)
    done = subprocess.run(
        [str(PEER_PYTHON), "-m", "pip", "install", "--quiet", "--prefer-binary", *PACKAGES], check=False
    )
    words = "is ready" if done.returncode == 0 else "does not install here; that peer will be left out"
    print(f"Quix Streams {words}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
