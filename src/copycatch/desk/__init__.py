"""The analyst's desk: what was announced, read back and laid out for a person.

Takes: alerts and recommendations of files or topics, and evaluations of a replay. Gives: lines per account,
timelines, comparisons of policies. Never: judges by rules of its own.
"""
