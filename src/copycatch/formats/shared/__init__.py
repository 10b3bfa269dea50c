"""What readers of log formats share.

Takes: messages, and what a reader says about its format. Gives: decoders, joined pairs, values of chats,
tensors and times, and faults that name field and remedy. Never: knows a single format.
"""
