"""From networks to numbers: ensembles, measured correlators, and the couplings fitted to them."""

from types import ModuleType as _Module

from .boxes.averages import Averages as Averages
from .boxes.couplings import Couplings as Couplings
from .boxes.estimate import Estimate as Estimate
from .calibration.planted import planted_chain as planted_chain
from .calibration.planted import planted_mixture as planted_mixture
from .calibration.planted import planted_site as planted_site
from .calibration.planted_bilocal import planted_bilocal as planted_bilocal
from .calibration.recovery import Recovery as Recovery
from .calibration.recovery import recover as recover
from .ensembles.ensemble import Ensemble as Ensemble
from .ensembles.losses import losses as losses
from .ensembles.samples import Samples as Samples
from .ensembles.source import Source as Source
from .equations.from_moments import Equations as Equations
from .equations.schwinger_dyson import fit_polynomial as fit_polynomial
from .estimators.generating import generating as generating
from .estimators.measure import measure as measure
from .estimators.null import Null as Null
from .estimators.null import null as null
from .estimators.patterns import measure_patterns as measure_patterns
from .estimators.widths import split_widths as split_widths
from .fields.box import BoxDraws as BoxDraws
from .fields.box import sample_box as sample_box
from .fields.gamma import Averaged as Averaged
from .fields.gamma import gamma_method as gamma_method
from .fields.hmc import LatticeDraws as LatticeDraws
from .fields.hmc import sample_lattice as sample_lattice
from .fields.learned import sample_posterior as sample_posterior
from .fields.nuts import sample_action as sample_action
from .insertion.engine import AbstractEngine as AbstractEngine
from .insertion.hmc import Hmc as Hmc
from .insertion.reweighted import Reweighted as Reweighted
from .insertion.tempered import Tempered as Tempered
from .insertion.widths import InfiniteWidth as InfiniteWidth
from .insertion.widths import Limit as Limit
from .insertion.widths import infinite_width as infinite_width
from .methods.gold import Gold as Gold
from .methods.hausman import hausman as hausman
from .methods.method import AbstractLikelihood as AbstractLikelihood
from .methods.method import AbstractMethod as AbstractMethod
from .methods.method import EquationLikelihood as EquationLikelihood
from .methods.method import MethodWords as MethodWords
from .methods.method import Score as Score
from .methods.pseudo import Pseudo as Pseudo
from .methods.pseudo import pseudo_equations as pseudo_equations
from .methods.reference import draw_reference as draw_reference
from .methods.tree_level import TreeLevel as TreeLevel
from .methods.vertex_fit import fit_correlators as fit_correlators
from .methods.vertex_fit import vertex_design as vertex_design
from .planning.design import Design as Design
from .planning.design import design as design
from .planning.few import Few as Few
from .planning.few import few_networks as few_networks
from .pooling.mixture import measure_mixture as measure_mixture
from .pooling.pairs import paired as paired
from .pooling.pool import pool as pool
from .posterior.changes import CouplingChange as CouplingChange
from .posterior.changes import paired_couplings as paired_couplings
from .posterior.fit import fit as fit
from .posterior.fit import model as model
from .posterior.sampler import AbstractSampler as AbstractSampler
from .posterior.sampler import Automatic as Automatic
from .posterior.sampler import Closed as Closed
from .posterior.sampler import Drawn as Drawn
from .posterior.sampler import Nuts as Nuts
from .posterior.sampler import SamplerWords as SamplerWords
from .posterior.variational import Variational as Variational
from .priors.affine import Given as Given
from .priors.affine import UnitInformation as UnitInformation
from .priors.density import AbstractPosterior as AbstractPosterior
from .priors.interpolate import interpolate as interpolate
from .priors.low_rank import LowRankPrior as LowRankPrior
from .priors.prior import AbstractPrior as AbstractPrior
from .priors.prior import Unknowns as Unknowns
from .priors.smooth import SmoothPrior as SmoothPrior
from .quasirandom.quantiles import quantile as quantile
from .quasirandom.sobol import Sobol as Sobol
from .shards.parts import Parts as Parts
from .spectra.exponentials import Exponentials as Exponentials
from .spectra.gap import AbstractGapMethod as AbstractGapMethod
from .spectra.gap import Gap as Gap
from .spectra.gevp import Gevp as Gevp
from .spectra.lagged import EffectiveMass as EffectiveMass
from .spectra.lagged import TimeCorrelators as TimeCorrelators
from .spectra.lagged import time_correlators as time_correlators
from .symmetries.breaking import Broken as Broken
from .symmetries.breaking import SymmetryTest as SymmetryTest
from .symmetries.breaking import symmetry as symmetry
from .symmetries.elements import Element as Element
from .symmetries.elements import Generator as Generator
from .symmetries.groups import AbstractSymmetry as AbstractSymmetry
from .symmetries.groups import Exchange as Exchange
from .symmetries.groups import Moves as Moves
from .symmetries.groups import Orthogonal as Orthogonal
from .symmetries.groups import Phase as Phase
from .symmetries.groups import Sign as Sign
from .symmetries.groups import Unitary as Unitary
from .symmetries.groups import on_outputs as on_outputs
from .symmetries.inputs import Permutation as Permutation
from .symmetries.inputs import Reflection as Reflection
from .symmetries.inputs import Rotations as Rotations
from .symmetries.inputs import Translations as Translations
from .symmetries.power import networks_to_see as networks_to_see
from .symmetries.whole import SameField as SameField
from .symmetries.whole import same_field as same_field

# What completion and `*` see: the names above and not the wings they come from.
__all__ = sorted(  # pyright: ignore[reportUnsupportedDunderAll]
    name for name, held in globals().items() if not name.startswith("_") and not isinstance(held, _Module)
)


def __dir__() -> list[str]:
    return list(__all__)
