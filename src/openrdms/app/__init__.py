"""Composition root: what is built from what, and how the service starts and stops.

``core`` is what commands need without a service too; ``engine`` acts by itself over it;
``protocols`` and ``web`` are what calls in; ``service`` puts them together; ``running`` is the
process, ``logs`` what it says.
"""
