"""Bytes become columns.

Takes: undecoded messages and the decoder of their format. Gives: one `RecordBatch` of columns, and a
`Rejected` with reason, field and position for every message that is none. Never: drops a record
silently, raises because of what a record holds, or keeps state between batches.
"""
