"""What others build against, derived from the classes that the code itself uses.

Takes: message classes, the policy model, the alert formats. Gives: JSON Schemas with descriptions, examples.
Never: a second description of a field; it stands beside the field.
"""
