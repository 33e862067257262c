"""The first paper's model of memory, fitted to measured runs by least squares. Pure; MiB, by any Python without numpy.

    M_old = shared + n c + sum of m_i                  n modules in processes of their own
    M_new = shared + c + m_NodeManager + sum of m_i    the same in one node

c is an interpreter with Gridlink, m_i what module i takes beside it; `shared` are the pages (of the interpreter's and
the libraries' files) that all processes share, counted once. The AppManager is one of the modules. M is without what
the guardian has for itself: that is the same for every n, and measured by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from gridlink.bench.errors import BenchFailed

OLD, NEW, EMPTY = "process", "node", "empty"
SHARED, INTERPRETER, NODEMANAGER = "shared", "interpreter", "nodemanager"
_SMALL = 1e-9


@dataclass(frozen=True, slots=True)
class Run:
    """A measured run. `mode`: OLD, NEW, or EMPTY, a node that hosts nothing; M and what the guardian has, in MiB."""

    mode: str
    modules: tuple[str, ...]
    measured: float
    guardian: float = 0.0


@dataclass(frozen=True, slots=True)
class Model:
    """The fitted terms in MiB, and what the guardian has for itself in each mode, as measured."""

    terms: Mapping[str, float]
    guardian: Mapping[str, float]

    def fitted(self, mode: str, modules: Collection[str]) -> float:
        """M of such a run: without the guardian."""
        return sum(self.terms[name] * times for name, times in coefficients(mode, modules).items())

    def total(self, mode: str, modules: Collection[str]) -> float:
        """What all processes of such a run take, the guardian too."""
        return self.fitted(mode, modules) + self.guardian[mode]

    def residual(self, run: Run) -> float:
        """How much more was measured than the model says."""
        return run.measured - self.fitted(run.mode, run.modules)

    def crossing(self) -> float:
        """The n at which both modes take the same: below it the old solution needs less. The m_i don't matter."""
        more = self.terms[NODEMANAGER] + self.guardian[NEW] - self.guardian[OLD]
        return 1 + more / self.terms[INTERPRETER]


def coefficients(mode: str, modules: Collection[str]) -> dict[str, float]:
    """How often each term counts in a run."""
    counted = {SHARED: 1.0, INTERPRETER: float(len(modules)) if mode == OLD else 1.0}
    if mode == NEW:
        counted[NODEMANAGER] = 1.0
    return counted | dict.fromkeys(modules, 1.0)


def design(runs: Iterable[tuple[str, Collection[str]]]) -> tuple[list[str], list[list[float]]]:
    """The terms of such runs (mode, modules), and for each run how often each term counts."""
    rows = [coefficients(mode, modules) for mode, modules in runs]
    names = list(dict.fromkeys(name for row in rows for name in row))
    return names, [[row.get(name, 0.0) for name in names] for row in rows]


def determined(runs: Iterable[tuple[str, Collection[str]]]) -> bool:
    """Whether such runs (mode, modules) would determine all of their terms."""
    _, matrix = design(runs)
    return least_squares(matrix, [0.0] * len(matrix)) is not None


def fit(runs: Sequence[Run]) -> Model:
    """The terms that fit all runs best, jointly. Raises BenchFailed where the runs don't determine them."""
    names, matrix = design([(run.mode, run.modules) for run in runs])
    solution = least_squares(matrix, [run.measured for run in runs])
    if solution is None:
        raise BenchFailed(f"{len(runs)} runs don't determine {', '.join(names)}: measure more subsets")
    guardian = {mode: _mean([run.guardian for run in runs if run.mode == mode]) for mode in (OLD, NEW)}
    return Model(dict(zip(names, solution, strict=True)), guardian)


def spread(model: Model, runs: Sequence[Run]) -> float:
    """The root of the mean square of the residuals."""
    return sqrt(_mean([model.residual(run) ** 2 for run in runs]))


def least_squares(matrix: Sequence[Sequence[float]], measured: Sequence[float]) -> list[float] | None:
    """The x for which `matrix` x is nearest to `measured`; None where there is more than one.

    By the normal equations: the matrix has small whole numbers and ten columns, so that nothing is lost by squaring it.
    """
    columns = list(zip(*matrix, strict=True))
    equations = [[_dot(one, other) for other in columns] + [_dot(one, measured)] for one in columns]
    return solve(equations)


def solve(equations: list[list[float]]) -> list[float] | None:
    """Solves n equations of n coefficients and a right side each, by elimination; None where they are singular."""
    count = len(equations)
    for column in range(count):
        pivot = max(range(column, count), key=lambda row: abs(equations[row][column]))
        if abs(equations[pivot][column]) < _SMALL:
            return None
        equations[column], equations[pivot] = equations[pivot], equations[column]
        first = equations[column]
        for row in range(count):
            if row != column:
                factor = equations[row][column] / first[column]
                equations[row] = [ours - factor * its for ours, its in zip(equations[row], first, strict=True)]
    return [equations[row][count] / equations[row][row] for row in range(count)]


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0.0
