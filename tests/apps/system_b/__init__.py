"""System B: django-tenants with three tenants, SimpleJWT, sessions, Channels, and their bugs.

Every bug is marked `BUG B1` to `BUG B7`. Do not repair them: they are what is tested.
"""
