"""System A: one Django + DRF app with one database, and the bugs that such systems have.

Every bug is marked `BUG A1` to `BUG A7`. Do not repair them: they are what is tested.
"""
