"""Every value that crosses a stage.

Takes: nothing. Gives: plain values - what travels on the wire (`wire`), columns of arrays (`columns`),
the policy as the core reads it (`policy`). Never: behaviour, input or output.
"""
