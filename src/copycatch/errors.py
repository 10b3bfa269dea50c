"""What can go wrong for good reason; each message names file, field and remedy."""


class CopycatchError(Exception):
    """Any error that copycatch raises on purpose."""


class ConfigError(CopycatchError):
    """A policy or settings file, or an option, that cannot be used."""


class StateError(CopycatchError):
    """A snapshot that is corrupt, foreign or of another version."""


class TransportError(CopycatchError):
    """A source or a sink failed for good: wrong topic, refused authorisation."""


class RecoverableError(TransportError):
    """A source or a sink failed and may work again: the runner retries with back-off."""


class FencedError(TransportError):
    """It is open whether a unit of effects happened, or another worker owns the shard: rebuild the state."""
