"""A deterministic cluster without hypervisors."""
