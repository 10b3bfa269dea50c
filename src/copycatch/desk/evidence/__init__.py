"""An incident as a folder that can be handed over: who was alerted on, by what, and a way to check all of it.

Takes: the uid of an alert, the log it rests on, the operator's key. Gives: a folder, and faults found in one.
Never: holds a query of the log unless it was told to, or trusts a folder before its signature.
"""
