"""What analysts may change while the service runs: the policy file, and verdicts in a file or on a topic."""

import structlog

from copycatch.adapters.kafka.follower import TopicFollower
from copycatch.ports import Clock, Metrics
from copycatch.records.policy import Policy
from copycatch.service.feedback import Feedback
from copycatch.service.health import Health
from copycatch.service.policy_watch import PolicyWatch
from copycatch.service.verdict_watch import VerdictWatch
from copycatch.settings.service import Service

log = structlog.get_logger(__name__)

READ_WAIT_S = 30.0  # for what stands in the topic of verdicts, before the first record is judged


class Watches:
    """Looks at all of them, and gives the policy that follows.

    Parameters
    ----------
    has_topics : bool
        Whether the service reads Kafka: without it no topic of verdicts is followed.
    """

    def __init__(
        self, settings: Service, clock: Clock, metrics: Metrics, health: Health, *, has_topics: bool
    ) -> None:
        self._topic = settings.feedback if has_topics else None
        self._follower = None if self._topic is None else TopicFollower(settings.kafka, self._topic)
        feedback = None if self._follower is None else Feedback(self._follower, clock)
        interval_s = settings.policy_check_interval
        self.policy = PolicyWatch(settings.policy, clock, metrics, interval_s, health, feedback)
        self._verdicts = VerdictWatch(settings.verdicts, clock, metrics, interval_s, feedback)

    def start(self) -> None:
        """Begin to follow the topic, and wait until what stands in it is read."""
        if self._follower is None:
            return
        self._follower.start()
        if not self._follower.wait_ready(READ_WAIT_S):
            log.warning("verdicts are not read: who was found benign may be alerted on", topic=self._topic)

    def next_policy(self) -> Policy | None:
        """Once a turn: another policy, where the file or verdicts have changed it."""
        policy = self.policy.next_policy()
        self._verdicts.look()
        return policy

    def stop(self) -> None:
        """End what was begun."""
        if self._follower is not None:
            self._follower.stop()
