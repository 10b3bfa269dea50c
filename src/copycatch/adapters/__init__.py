"""The outside, behind the ports.

Takes: settings and what the ports say. Gives: Kafka, files, memory twins, snapshots on disk, metrics, the
clock. Never: judgement; an adapter moves bytes and time, and translates errors into our own.
"""
