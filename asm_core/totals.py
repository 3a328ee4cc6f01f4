"""What traced loops add up over a block: of choices, and of results against exact ones."""

from typing import Any

from asm_core.lanes import spread, tally
from asm_core.tracing import Variable


class _Totals:
    """Three numbers in lanes that start at 0; `work` is the working set of the traced function."""

    def __init__(self, work: Any) -> None:
        self._totals = [Variable(work, spread(0.0)) for _ in range(3)]

    @property
    def values(self) -> tuple[Any, ...]:
        """As they are now."""
        return tuple(total.value for total in self._totals)


class Chosen(_Totals):
    """Squared losses, losses, and the number of choices that are right."""

    def add(self, loss: Any) -> None:
        """One more choice, by what it loses."""
        squares, regret, right = self._totals
        squares.add(loss * loss)
        regret.add(loss)
        right.value = tally(right.value, loss)


class Differences(_Totals):
    """Squared differences, squares of shifted differences, and differences."""

    def __init__(self, work: Any, shift: Any) -> None:
        super().__init__(work)
        self._shift = shift

    def add(self, difference: Any) -> None:
        """One more result, less the exact one."""
        squares, shifted, bias = self._totals
        moved = difference + self._shift
        squares.add(difference * difference)
        shifted.add(moved * moved)
        bias.add(difference)
