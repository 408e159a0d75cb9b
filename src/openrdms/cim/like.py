"""LIKE patterns of WQL: ``%`` any run, ``_`` one character, ``[a-f]`` and ``[^a-f]`` sets.

Matched in at most length-of-text times length-of-pattern steps, whatever the pattern: a
regular expression would need exponential time for some.
"""

from __future__ import annotations

from collections.abc import Callable

Pattern = tuple[Callable[[str], bool] | None, ...]
"""One test per character; None stands for ``%``."""


def parse(text: str) -> Pattern:
    """Read a pattern; ValueError when a set is not closed."""
    tests: list[Callable[[str], bool] | None] = []
    folded = text.lower()
    position = 0
    while position < len(folded):
        character = folded[position]
        if character == "[":
            end = folded.find("]", position + 2)
            if end < 0:
                raise ValueError(f"the set in {text!r} is not closed")
            tests.append(_set(folded[position + 1 : end]))
            position = end
        elif character == "_":
            tests.append(lambda _: True)
        else:
            tests.append(None if character == "%" else character.__eq__)
        position += 1
    return tuple(tests)


def matches(pattern: Pattern, text: str) -> bool:
    """True when the whole text fits, ignoring case."""
    folded = text.lower()
    at, here = 0, 0
    run_at, run_here = -1, 0
    while here < len(folded):
        test = pattern[at] if at < len(pattern) else _nothing
        if test is None:
            run_at, run_here = at, here
            at += 1
        elif test(folded[here]):
            at, here = at + 1, here + 1
        elif run_at >= 0:
            # Only the latest % needs another try: an earlier one can gain nothing by growing.
            run_here += 1
            at, here = run_at + 1, run_here
        else:
            return False
    return all(test is None for test in pattern[at:])


def _nothing(_: str) -> bool:
    return False


def _set(text: str) -> Callable[[str], bool]:
    negated = text.startswith("^") and len(text) > 1
    ranges = _ranges(text[1:] if negated else text)
    return lambda character: any(low <= character <= high for low, high in ranges) is not negated


def _ranges(text: str) -> list[tuple[str, str]]:
    ranges: list[tuple[str, str]] = []
    position = 0
    while position < len(text):
        is_range = text[position + 1 : position + 2] == "-" and position + 2 < len(text)
        high = text[position + 2] if is_range else text[position]
        ranges.append((text[position], high))
        position += 3 if is_range else 1
    return ranges
