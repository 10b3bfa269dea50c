"""The reference enforcement point: what gateways do with recommendations.

Takes: the compacted recommendations topic, and requests that are about to be made. Gives: allow, throttle,
reduce or block for each, and acknowledgements. Never: judges anything itself, or acts on what is in shadow
mode, has expired, or waits for a person.
"""
