"""One file a schema change; a released one never changes."""
