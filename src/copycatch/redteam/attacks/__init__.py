"""Extraction attacks from their papers.

Takes an oracle (a counted door to the victim) and what the thief knows; asks until the budget is
gone. Gives nothing back: the oracle's transcript is the outcome. Never sees the victim's weights,
its training data or the held-out inputs.
"""
