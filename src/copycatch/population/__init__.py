"""What is normal, per model, learned online.

Takes: queries and features of accounts that are not flagged, at learning steps. Gives: the frozen space of
each model, the reference of each feature at comparable n, and the calibration of scores. Never: learns inside
a segment, learns what was flagged, or lets one account weigh more than another.
"""
