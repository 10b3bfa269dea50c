"""Per-account windows: what each account did, in bounded state.

Takes: rows of accounts, columns of records, signals per query. Gives: at each evaluation point of an
account a copy of its state. Never: knows what is normal, judges, or depends on how batches were cut.
"""
