"""A predicate over whole numbers in, the number at which it turns out: doubling, then bisection."""

from __future__ import annotations

from collections.abc import Callable


def last_true(holds: Callable[[int], bool], first: int, last: int) -> int | None:
    """The greatest number up to which ``holds`` is true; None when it is false at ``first``.

    ``holds`` is true up to some number and false beyond it. Where it turns more than once, the
    number found is one of the turns: true there, false one further.
    """
    if not holds(first):
        return None
    true, false, step = first, last + 1, 1
    while true + step < false:
        if holds(true + step):
            true, step = true + step, 2 * step
        else:
            false = true + step
    while false - true > 1:
        middle = (true + false) // 2
        if holds(middle):
            true = middle
        else:
            false = middle
    return true


def first_true(holds: Callable[[int], bool], first: int, last: int) -> int | None:
    """The least number from which ``holds`` is true; None when it is false up to ``last``."""
    false = last_true(lambda number: not holds(number), first, last)
    if false is None:
        return first
    return None if false == last else false + 1
