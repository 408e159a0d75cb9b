"""Durable jobs: a thin layer on DBOS."""
