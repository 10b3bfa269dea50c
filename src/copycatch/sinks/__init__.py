"""Secondary sinks: they get copies of alerts and recommendations, and keep no positions.

Takes: messages, and each sink its own settings, whose class stands beside it. Gives: what the receiver takes.
Never: decides what is sent, or stops the main sink; `catalog.py` lists them.
"""
