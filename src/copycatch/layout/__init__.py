"""The row of sums that an account has: which signals are summed, where each sum lies, how features read it.

Takes: the table of signals. Gives: columns by name, and views over copies of rows. Never: adds to a sum (the
windows do), or judges one.
"""
