"""Composition root: what is built from what, and how the service starts and stops.

``core`` is what commands need without a service too; ``engine`` acts by itself over it;
``admission`` decides who may come in, ``protocols`` and ``web`` (with its ``backend``) are what
calls in; ``service`` puts them together; ``running`` is the process, ``logs`` what it says.
``backup`` copies a ``state_directory`` into an ``archive`` and back.
"""
