"""copycatch: catches model extraction from inference logs while it happens."""

__version__ = "0.1.0"
