"""How anomalous each evaluation is.

Takes: features and what is normal for them. Gives: a score and each feature's share of it. Never: sees an
account's name, learns before it scores, or passes NaN or out-of-range values to a model.
"""
