"""The process around the engine: wiring, the loop, checkpoints, health.

Takes: settings and a policy file. Gives: `run` (for months) and `replay` (files, as fast as they go), the
same loop and checkpoint behind both. Never: judges; it decides only when the engine is asked and when its
outcomes become facts.
"""
