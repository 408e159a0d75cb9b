"""A generic CIM object manager."""
