"""From scores to what should happen.

Takes: evaluations, their scores, the policy, the feature catalogue, the state of open episodes.
Gives: verdicts - alerts, recommendations, and which evaluations must not be learned.
Never: reads a clock, a file or a setting; every time is the event time of a record or the watermark.
"""
