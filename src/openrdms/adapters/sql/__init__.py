"""The store in SQL."""
