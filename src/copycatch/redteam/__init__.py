"""Steal a model on purpose, to see when the detector alerts.

Takes a victim, a plan of attacks and a seed. Gives native inference records with labels and
fidelity curves beside them, in the layout of the development traces. `judging` lets the
real service judge them. Never touches a running service, nor any endpoint but the one it was given.

Write a trace folder (`copycatch simulate --list` names what there is)::

    copycatch simulate --victim digits --seed 7 --out DIR

The same from Python, where `Playback` is an iterable of records in event-time order::

    plan = PRESETS["demo"].make("digits", 7, 600)
    campaign = simulate(plan, build_victim("digits", 7))
    for record in Playback(campaign): ...
"""
