"""The tenants' own app."""
