"""Where tests let the service die: nothing happens unless `COPYCATCH_FAIL_AT` is set and tests are running.

`COPYCATCH_FAIL_AT="after deliver:3"` kills the process with SIGKILL when it comes to that step for the third
time. It needs `COPYCATCH_TEST_HOOKS=1` beside it, so that no stray variable can stop a production service.
"""

import os
import signal
from collections.abc import Callable, Mapping

Hook = Callable[[str], None]
"""Called at each step by its name; tests kill the process there."""


def no_hook(_step: str) -> None:
    """Production: nothing happens between the steps."""


def hook_of(environment: Mapping[str, str]) -> Hook:
    """The hook that the environment asks for; none in production."""
    wish = environment.get("COPYCATCH_FAIL_AT")
    if not wish or environment.get("COPYCATCH_TEST_HOOKS") != "1":
        return no_hook
    step, _, times = wish.partition(":")
    remaining = int(times or 1)

    def hook(at: str) -> None:
        nonlocal remaining
        if at == step:
            remaining -= 1
            if remaining == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook
