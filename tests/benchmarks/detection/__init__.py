"""What is caught, how early and at which price, beside published detectors on the same records.

`make bench-detection` runs the product as `copycatch replay` does, with the default policy, over every trace
it finds and over freshly simulated ones, and judges product and peers by the same definitions.
"""
