"""The policy file while running: checked whole, taken between batches, refused whole when wrong."""

from pathlib import Path

import structlog

from copycatch.decisions.verdicts import held
from copycatch.errors import ConfigError
from copycatch.features.catalog import SPECS
from copycatch.ports import Clock, Metrics
from copycatch.records.policy import Policy
from copycatch.service.feedback import Feedback
from copycatch.service.health import Health
from copycatch.settings.policy import load_policy

log = structlog.get_logger(__name__)

KNOWN_FEATURES = frozenset(spec.name for spec in SPECS)


class PolicyWatch:
    """Looks at the file every now and then, or at once when told to (SIGHUP).

    A change is seen by time stamp, size and inode: editors and ConfigMap mounts replace files.
    """

    def __init__(
        self,
        path: Path | None,
        clock: Clock,
        metrics: Metrics,
        interval_s: float = 2.0,
        health: Health | None = None,
        feedback: Feedback | None = None,
    ) -> None:
        self._feedback = feedback
        self._path = path
        self._clock = clock
        self._metrics = metrics
        self._interval_s = interval_s
        self._stamp = self._look()
        self._next_s = clock.monotonic_s() + interval_s
        self._is_told = False
        self._health = health or Health()
        # Nobody has looked at what would be blocked: without a policy of theirs nothing is enforced.
        self._base = load_policy(path, KNOWN_FEATURES) if path else Policy(mode="shadow")
        self.policy = self._base  # with what verdicts on the topic say
        log.info("policy in force", **self._told())
        self._tell_verdicts()
        self._tell_version(self.policy.content_version, 1)

    def look_now(self) -> None:
        """Read again at the next turn, changed or not; safe in a signal handler."""
        self._is_told = True

    def next_policy(self) -> Policy | None:
        """A new policy, when there is a good one, or new verdicts."""
        base = self._next_base()
        has_verdicts = self._feedback is not None and self._feedback.look()
        if base is None and not has_verdicts:
            return None
        self._base = base or self._base
        policy = self._base if self._feedback is None else self._feedback.added_to(self._base)
        before = self.policy.content_version
        if policy.content_version == before:
            return None
        self._tell_version(before, 0)
        self._tell_version(policy.content_version, 1)
        self.policy = policy
        log.info("policy taken", before=before, **self._told())
        self._tell_verdicts()
        return policy

    def _next_base(self) -> Policy | None:
        """The file once more, where it has changed and is good."""
        if self._path is None or not (self._is_told or self._clock.monotonic_s() >= self._next_s):
            return None
        self._next_s = self._clock.monotonic_s() + self._interval_s
        stamp = self._look()
        if stamp == self._stamp and not self._is_told:
            return None
        self._is_told = False
        self._stamp = stamp
        try:
            policy = load_policy(self._path, KNOWN_FEATURES)
        except ConfigError as error:
            self._metrics.count("copycatch_policy_reloads_total", result="refused")
            log.exception(
                "policy refused; the one before stays", version=self.policy.content_version, reason=str(error)
            )
            self._health.policy_fault = str(error)
            return None
        self._health.policy_fault = ""
        if policy.content_version == self._base.content_version:
            return None
        self._metrics.count("copycatch_policy_reloads_total", result="taken")
        return policy

    def _told(self) -> dict[str, str | float]:
        budget, factor = self.policy.budget, self.policy.sensitivity
        return {
            "policy": str(self._path or "built-in"),
            "version": self.policy.content_version,
            "mode": self.policy.mode,
            "alerts_per_1000_accounts_per_day": budget.alerts_per_1000_accounts_per_day * factor,
            "restrictions_per_1000_accounts_per_day": budget.recommendations_per_1000_accounts_per_day
            * factor,
        }

    def _tell_verdicts(self) -> None:
        for section, entries in (("allow", self.policy.allow), ("attacks", self.policy.attacks)):
            beyond = held(entries)[1]
            n_given = sum(each.given_ms is not None for each in entries)
            self._metrics.set(
                "copycatch_policy_verdicts", n_given - len(beyond), section=section, holds="yes"
            )
            self._metrics.set("copycatch_policy_verdicts", len(beyond), section=section, holds="no")
            if beyond:
                log.error(
                    "verdicts beyond their bounds do not hold; who gave them?", section=section, n=len(beyond)
                )

    def _tell_version(self, version: str, value: int) -> None:
        self._metrics.set("copycatch_policy_info", value, version=version)
        if value:
            self._health.policy_version = version

    def _look(self) -> tuple[int, int, int] | None:
        if self._path is None:
            return None
        try:
            status = self._path.stat()
        except OSError:
            return None  # in the middle of being replaced: loading it says what is wrong
        return status.st_mtime_ns, status.st_size, status.st_ino
