"""The paper's model: what was put into the runs comes out of the fit, and what can't be known is refused."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from gridlink.bench.errors import BenchFailed
from gridlink.bench.model import EMPTY, INTERPRETER, NEW, NODEMANAGER, OLD, SHARED, Model, Run, fit, solve, spread
from gridlink.bench.subsets import BUNDLES, MANAGER, draw, report
from gridlink.cli.bench import command

TERMS = {SHARED: 8.0, INTERPRETER: 14.0, NODEMANAGER: 0.7, MANAGER: 0.6} | {
    name: 0.2 + number * 0.4 for number, name in enumerate(BUNDLES)
}
TRUE = Model(TERMS, {OLD: 3.3, NEW: 3.1})


def run(mode: str, modules: tuple[str, ...], noise: float = 0.0) -> Run:
    """A run that is as the true model says, but for the noise."""
    return Run(mode, modules, TRUE.fitted(mode, modules) + noise, TRUE.guardian.get(mode, 0.0))


def runs(subsets: int, noise: float = 0.0, seed: int = 1) -> list[Run]:
    """What a bench would measure."""
    chance = random.Random(seed)
    drawn = draw(subsets, seed)
    found = [run(mode, modules, chance.uniform(-noise, noise)) for modules in drawn for mode in (OLD, NEW)]
    return [run(EMPTY, ()), *found]


def test_the_terms_of_a_model_are_found_again() -> None:
    """By runs without noise, exactly."""
    model = fit(runs(10))
    assert model.terms == pytest.approx(TERMS)
    assert model.guardian == pytest.approx({OLD: 3.3, NEW: 3.1})
    assert spread(model, runs(10)) == pytest.approx(0.0, abs=1e-9)


def test_old_and_new_differ_by_the_interpreters_and_the_nodemanager() -> None:
    """M_old = n c + sum of m_i, M_new = c + m_NodeManager + sum of m_i; the paper's equations."""
    modules = (MANAGER, "storage", "voltage_guard")
    between = TRUE.fitted(OLD, modules) - TRUE.fitted(NEW, modules)
    assert between == pytest.approx(2 * TERMS[INTERPRETER] - TERMS[NODEMANAGER])


def test_with_one_module_the_old_solution_needs_less() -> None:
    """The modes cross behind n = 1: a node has a NodeManager, too."""
    assert TRUE.total(OLD, (MANAGER,)) < TRUE.total(NEW, (MANAGER,))
    assert TRUE.crossing() == pytest.approx(1 + (0.7 + 3.1 - 3.3) / 14)
    assert TRUE.total(OLD, (MANAGER, "storage")) > TRUE.total(NEW, (MANAGER, "storage"))


@given(st.integers(0, 1000), st.floats(0.01, 0.5))
def test_no_other_terms_fit_better(seed: int, step: float) -> None:
    """Least squares: to move any term makes the residuals larger."""
    measured = runs(10, noise=0.5, seed=seed)
    model = fit(measured)
    least = spread(model, measured)
    for name, term in model.terms.items():
        for moved in (term + step, term - step):
            assert spread(replace(model, terms={**model.terms, name: moved}), measured) > least


def test_too_few_runs_are_refused_with_advice() -> None:
    """A module that is in every run or none can't be told from the interpreter."""
    with pytest.raises(BenchFailed, match="measure more subsets"):
        fit([run(OLD, (MANAGER, "storage")), run(NEW, (MANAGER, "storage"))])


def test_equations_are_solved_whatever_their_order() -> None:
    """A zero on the diagonal needs another row; equal rows have no one solution."""
    assert solve([[0.0, 2.0, 4.0], [1.0, 1.0, 3.0]]) == [1.0, 2.0]
    assert solve([[1.0, 1.0, 3.0], [2.0, 2.0, 6.0]]) is None


@pytest.mark.parametrize("subsets", [7, 8, 10, 20])
def test_the_subsets_that_are_drawn_determine_all_terms(subsets: int) -> None:
    """Sizes go round, so that none is left out; each subset has the AppManager and no bundle twice."""
    drawn = draw(subsets)
    assert {len(modules) for modules in drawn} == {2, 3, 4, 5, 6}
    assert all(modules[0] == MANAGER and len(set(modules)) == len(modules) for modules in drawn)
    assert fit(runs(subsets)).terms.keys() == TERMS.keys()


def test_too_few_subsets_are_refused_before_anything_is_measured() -> None:
    """As wrong usage, with the number that would do, which the help tells."""
    for few in ("1", "6"):
        result = CliRunner().invoke(command, ["memory", "--subsets", few])
        assert (result.exit_code, "expected 0, or 7 or more" in result.stderr) == (2, True), result.stderr
    assert f"{len(BUNDLES) + 1} or more; 0: don't" in CliRunner().invoke(command, ["memory", "--help"]).output
    with pytest.raises(BenchFailed, match="take 7 or more"):
        draw(6)


def test_the_report_predicts_each_n_and_says_how_far_off_it_is() -> None:
    """The measured total has the guardian in it, as that of the three modes."""
    steps = [run(mode, (MANAGER, *BUNDLES[:n])) for n in range(7) for mode in (OLD, NEW)]
    steps[-1] = replace(steps[-1], measured=steps[-1].measured * 1.1)
    found = report(fit(runs(10)), runs(10), steps, 5.0)
    assert [step["n"] for step in found["by_n"][::2]] == [1, 2, 3, 4, 5, 6, 7]
    assert found["by_n"][0]["measured_mib"] == pytest.approx(8 + 14 + 0.6 + 3.3, abs=0.01)
    assert found["worst_error_percent"] == pytest.approx(8.2, abs=0.3)
    assert found["by_n"][-1]["error_percent"] < 0
    assert all(step["error_percent"] == 0 for step in found["by_n"][:-1])
    assert found["residuals_rms_mib"] == 0
