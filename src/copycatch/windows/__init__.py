"""Per-account windows: what each account did, in bounded state.

Takes: rows of accounts, columns of records, signals per query. Gives: a copy of an account's sums whenever
it is due for evaluation. Never: knows what is normal, judges, or depends on how batches were cut.
"""
