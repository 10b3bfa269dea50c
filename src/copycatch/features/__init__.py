"""What is measured of each account: one row of features per evaluation.

Takes: a view of accounts' sums at their evaluation points. Gives: a matrix with one column per feature of
the catalogue, NaN where it cannot be computed. Never: keeps state or knows what is normal.
"""
