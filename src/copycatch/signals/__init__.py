"""Signals per query: how it differs from what is normal for its model.

Takes: a batch of columns and the frozen space of its model. Gives: one row of signals per query, NaN where
a signal cannot be computed. Never: keeps state, or lets one query's signals depend on its neighbours in
the batch.
"""
