"""A model's space: where its usual queries lie, and where any query lies beside them.

Takes: queries of accounts that are not flagged (fit); vectors, texts and labels of new queries (transform).
Gives: the frozen `ModelSpace`, its lexicon, and numbers per query measured in them. Never: keeps state beside
what it returns, or lets one query's numbers depend on other queries of its batch.

`model` holds the data, sizes and limits; `fit`, `fit_frame` and `steps` build a space; `transform`,
`neighbours` and `lexicon` measure queries in it. The fit measures its thresholds by these same functions.
"""
