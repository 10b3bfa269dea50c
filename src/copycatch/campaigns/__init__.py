"""Many accounts, one thief: links accounts that act as one.

Takes: columns of records, and event time. Gives: findings: campaigns with members, links in words and what
was measured. Never: keeps a text, an address or a name (hashes only); knows a broker, a file or a clock.

Data's way. `attributes.py` reads from each record what accounts may share: hashes of network, user agent,
API key, request parameters, the first and last characters of texts, and a short vector of what was asked.
`fold.py` adds them to the link row of the account (`layout.py`, 1,200 bytes): a week of activity in panes
of ten minutes, counters of its most used attributes, the sum of its query vectors, a few sampled queries,
and a few of this week's conversations and reasoning blocks. Every half hour of event time `find.py` searches:
`sharing.py` makes groups of accounts that share one rare attribute or two others; `evidence.py` weighs each
group whose queries have grown by a quarter:

* `deck.py`: what the members ask is dealt from one deck, and neither narrow nor the same again and again;
* `activity.py`: their activity rises and falls together, beyond their own levels and the common day;
* `lives.py`: they began together, or each as another fell silent;
* `ties.py`: they send back reasoning blocks that were issued to others of them (conversations that they hand
  over, and a joint move to a model, only add to other evidence);
* `evidence.turns_of`: they take turns, asking less at the same time than chance has it;
* `evidence.kit_of`: they use a kit of openings and endings that few others use.

The deck is required, and one unit of weight of the rest; sharing alone is no guilt. A member needs
evidence of its own. Campaigns (`state.py`) take in accounts that ask from the same deck and act along or
use the kit; they end when their members are silent for a week, or when it turns out that they ask the
same again and again.

Limits. What more than 400 accounts or a third of all share makes no group. A ring whose accounts share
nothing but what everybody shares, and that keep no common time, is not seen; nor is one whose accounts
all ask the same prompts, or hide them behind one long template: its members are judged alone. Accounts in
other workers' shards are not seen. A company's own job that deals varied prompts to several keys *is*
such a group: allow its accounts.
"""
