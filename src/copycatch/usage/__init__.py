"""How an account uses a language model: what it asks, in what order, and with which options.

Takes: columns of records. Gives: measures of each account that is due. Never: keeps a text (vectors and
hashes only), or judges.

Data's way. `events.py` reads from each record with text and without a label a short vector of what was
asked, hashes of its first and last characters, of its options and of its logit bias. `fold.py` adds them to
the account's usage row (`layout.py`), which exists only where accounts send text. When an account is due,
`measures.py` tells from the row how broad, repetitive, conversational and uniform its use is, at every number
of queries from a sample of the same size. The features of family "usage" show these figures, and the scorer
`scoring.distillation` judges them together: each of them alone has an innocent twin.

Limits. The order of queries within a sample of 32 is lost. Texts are compared by the vectors of the service's
own embedder; without one only templates and options are known. A log that gives the number of biased tokens
instead of the bias cannot show that the bias changes.
"""
