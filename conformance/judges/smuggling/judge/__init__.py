"""Judges of the data plane: real back ends, real proxies and slow clients around an Ondol system.

`README.md` beside this package says what they check.
"""
