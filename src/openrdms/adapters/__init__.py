"""Whom we call: what fills the ports."""
