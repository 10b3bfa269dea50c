"""Vectors of raw text, at the speed of the wire.

Takes: any strings, lone surrogates included. Gives: WordLlama's 64-dimensional vectors of them, from its own
token ids, bit for bit the same whatever the batch, the order and what came before. Never: reaches out to the
network, writes a file, or lets one text cost more than its bounded length allows.

The weights and the vocabulary are those of the `wordllama` wheel (model `l2_supercat`, MIT licence; its
vocabulary of 32,000 tokens is the one of Llama 2). Nothing of them is copied into this package: `source`
reads them from the installed wheel, `tables` arranges them for the compiled pass of `kernel`.
"""
