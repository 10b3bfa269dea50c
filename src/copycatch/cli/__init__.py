"""The command line: one file a command; each parses arguments and calls down.

Takes: arguments. Gives: an exit code, and words for a person. Never: decides anything itself.
"""
