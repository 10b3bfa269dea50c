"""Alerts in the words of the SIEM; `catalog.py` lists the formats.

Takes: an `Alert`. Gives: bytes, one message. Never: decides anything, leaves a control character from a
log unescaped, or grows beyond the bounds that the target formats state.
"""
