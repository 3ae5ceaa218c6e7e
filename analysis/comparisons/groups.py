"""Which symmetries do these networks have? Every group that fits, order by order: what the data say and the law proves.

Of a model that is known exactly the forbidden part of its correlators is computed from the prior of its parameters,
without a draw: where it vanishes the symmetry is proved at that order, and data that reject it show an error of the
program. Where it does not, the measured size of the breaking stands beside the exact one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...inference.ensembles.source import Source
from ...inference.estimators.measure import check_source
from ...inference.symmetries.breaking import Broken, SymmetryTest, symmetry
from ...inference.symmetries.groups import AbstractSymmetry, Exchange, Orthogonal, Sign
from ...inference.symmetries.inputs import Reflection, Rotations, Translations
from ...models.correlators import Correlators
from ..checks.check import LIMITS, Check

__all__ = ["Symmetries", "symmetries"]


@dataclass(frozen=True)
class Symmetries:
    """Groups held against networks; prints as a table, and is a check for `an.report(fit, folder, checks=[...])`.

    Attributes:
        tests: name of the group -> what was found.
        refused: name of the group -> why it does not fit.
    """

    tests: Mapping[str, SymmetryTest]
    refused: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> SymmetryTest:
        if name not in self.tests:
            raise ValueError(f"expected a group among {list(self.tests)}, got {name!r}; {self.refused.get(name, '')}")
        return self.tests[name]

    def __str__(self) -> str:
        head = f"{'group':<30}{'order':>5}{'T^2/dof':>14}{'p':>10}{'size':>20}{'in the law':>12}{'networks needed':>17}"
        lines = [head]
        for name, test in self.tests.items():
            for order in sorted({*test.orders, *test.refused}):
                lines.append(_line(name, order, test))
        lines += [f"{name:<30}{'-':>5}  {why}" for name, why in self.refused.items()]
        for name, test in self.tests.items():
            reasons = dict.fromkeys(one.reason for one in test.orders.values() if one.reason)
            lines += [f"The law has {name}: {reason}." for reason in reasons]
        return "\n".join(lines)

    __repr__ = __str__

    def __call__(self, fit: Any) -> Iterator[Check]:
        """One check a group and order, for a page."""
        for name, test in self.tests.items():
            for order, one in test.orders.items():
                yield Check(
                    f"symmetry under {name}, order {order}",
                    f"p = {one.p:.2g}",
                    f"> {LIMITS['exact_p']:g}",
                    _verdict(one),
                    _why(name, one),
                )


def symmetries(
    data: Source | Correlators,
    groups: Sequence[AbstractSymmetry] | None = None,
    *,
    orders: tuple[int, ...] | None = None,
    progress: bool = False,
) -> Symmetries:
    """Test all symmetries that fit these networks, in one table.

    Args:
        data: an `Ensemble`, `Samples`, or correlators measured of them.
        groups: which; default the sign of the field, exchanges and rotations of several fields, and of the inputs
            translations, rotations and reflections.
        orders: as in `inf.symmetry`.
        progress: bars for long runs.

    Raises:
        ValueError: correlators without their networks.

    Example:
        >>> import jax, numpy as np
        >>> from nnft import inference as inf
        >>> from nnft import models as m
        >>> ens = inf.Ensemble(m.Network(m.Cos(), 5), points=np.array([[0.0], [1.0]]), n=4000, key=jax.random.key(0))
        >>> table = symmetries(ens, [inf.Sign(), inf.Reflection()], orders=(1,))
        >>> table["Z2"][1].proved, [check.verdict for check in table(None)]
        (True, ['pass', 'pass'])
    """
    source = data.source if isinstance(data, Correlators) else data
    if source is None:
        raise ValueError("expected networks, or correlators measured of them, got correlators alone; try an ensemble")
    check_source(source)
    tests, refused = {}, {}
    for group in _fitting(source) if groups is None else groups:
        try:
            tests[group.name] = symmetry(source, group, orders=orders, progress=progress)
        except ValueError as error:
            if groups is not None:
                raise
            refused[group.name] = str(error)
    return Symmetries(tests, refused)


def _fitting(source: Source) -> list[AbstractSymmetry]:
    """The groups that are asked about where none is named."""
    d, fields = source.points.shape[1], source.outputs
    of_fields = [Exchange(fields), Orthogonal(fields)] if fields > 1 else []
    of_inputs = [Rotations(reflections=True)] if d > 1 else [Reflection()]
    return [Sign(), *of_fields, *([] if source.program is None else [Translations()]), *of_inputs]


def _verdict(one: Broken) -> str:
    if one.contradiction:
        return "fail"
    return "pass" if one.p > LIMITS["exact_p"] else "note"


def _why(name: str, one: Broken) -> str:
    size = f"the forbidden part of order {one.order} is {one.size:.2g} +- {one.error:.1g} of rms^{one.order}"
    if one.contradiction:
        return f"The law of the networks has the symmetry, and the networks do not: {size}. This is an error."
    if one.proved:
        return f"{f'The law has it: {one.reason}' if one.reason else 'The exact correlators prove it'}; {size}."
    if one.proved is False:
        return f"The law of the networks breaks it by {one.exact:.3g}; {size}."
    return f"No exact result is known; {size}."


def _line(name: str, order: int, test: SymmetryTest) -> str:
    if order in test.refused:
        return f"{name:<30}{order:>5}  {test.refused[order].partition(';')[0]}"
    one = test[order]
    law = "-" if one.exact is None else "exact" if one.proved else f"{one.exact:.3g}"
    needed = "-" if one.needed == float("inf") else f"{one.needed:,.0f}"
    chi2 = f"{one.chi2.value:.1f}/{one.chi2.dof:.3g}"
    cells = f"{chi2:>14}{one.p:>10.2g}{f'{one.size:.3g} +- {one.error:.1g}':>20}{law:>12}{needed:>17}"
    return f"{name:<30}{order:>5}{cells}{'  CONTRADICTION' if one.contradiction else ''}"
