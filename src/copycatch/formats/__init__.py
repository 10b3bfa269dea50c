"""Log formats, one a file; `catalog.py` lists them.

Takes: a `RawBatch` of messages as gateways write them. Gives: canonical `InferenceRecord`s and `Rejected`s.
Never: raises for any bytes, reads a file or a clock, or lets a bad message harm its neighbours.
"""
