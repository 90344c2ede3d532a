"""Runs every scenario directly and through the gateway."""
