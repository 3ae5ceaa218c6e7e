"""What the field theory is: neurons, networks, their exact correlators, and the actions that describe them."""

from types import ModuleType as _Module

from .actions.base import AbstractAction as AbstractAction
from .actions.base import Symbol as Symbol
from .actions.boundedness import boundedness as boundedness
from .actions.invariant import Invariant as Invariant
from .actions.lattice import LatticePhi4 as LatticePhi4
from .actions.lattice import TranslationInvariant as TranslationInvariant
from .actions.monomials import Monomials as Monomials
from .actions.monomials import monomials as monomials
from .actions.odd import Odd as Odd
from .actions.rungs import Bilocal as Bilocal
from .actions.rungs import Constant as Constant
from .actions.rungs import FullQuartic as FullQuartic
from .actions.rungs import FullSextic as FullSextic
from .actions.rungs import Local as Local
from .actions.rungs import LowRankBilocal as LowRankBilocal
from .actions.rungs import Modes as Modes
from .actions.rungs import SmoothBilocal as SmoothBilocal
from .actions.rungs import gauge as gauge
from .actions.rungs import identifiable as identifiable
from .analytic.convergence import finite_source as finite_source
from .analytic.densities import exact_density as exact_density
from .analytic.exact import exact as exact
from .analytic.generating import exact_generating as exact_generating
from .analytic.selected import exact_at as exact_at
from .boxes.box import Box as Box
from .boxes.potential import Potential as Potential
from .boxes.theory import BoxTheory as BoxTheory
from .correlators import Correlators as Correlators
from .deep.first_order import first_order as first_order
from .deep.network import Deep as Deep
from .deep.network import kernels as kernels
from .diagrams.from_correlators import EffectiveCouplings as EffectiveCouplings
from .diagrams.from_correlators import effective_couplings as effective_couplings
from .diagrams.from_couplings import four_point as four_point
from .diagrams.from_couplings import non_gaussianity as non_gaussianity
from .diagrams.from_couplings import predicted as predicted
from .diagrams.series import Edgeworth as Edgeworth
from .diagrams.series import cumulant_series as cumulant_series
from .flows.decimation import DecimatedChain as DecimatedChain
from .flows.decimation import free_decimation as free_decimation
from .flows.local_potential import FixedPoint as FixedPoint
from .flows.local_potential import LocalPotential as LocalPotential
from .flows.local_potential import fixed_point as fixed_point
from .foreign.from_key import FromKey as FromKey
from .multiplets.complex_laws import Phases as Phases
from .multiplets.complex_laws import circular as circular
from .multiplets.complex_laws import complex_sphere as complex_sphere
from .multiplets.laws import AbstractWeights as AbstractWeights
from .multiplets.laws import Copies as Copies
from .multiplets.laws import Leaving as Leaving
from .multiplets.laws import Normals as Normals
from .multiplets.laws import Spherical as Spherical
from .multiplets.laws import Tied as Tied
from .multiplets.multiplet import Multiplet as Multiplet
from .multiplets.multiplet import Neurons as Neurons
from .multiplets.placed import Output as Output
from .multiplets.placed import Placed as Placed
from .multiplets.placed import at_places as at_places
from .networks.deformed import Deformed as Deformed
from .networks.deformed import input_weight_energy as input_weight_energy
from .networks.independent import Cumulants as Cumulants
from .networks.latents import AbstractScale as AbstractScale
from .networks.latents import GammaScale as GammaScale
from .networks.latents import LogNormalLength as LogNormalLength
from .networks.latents import LogNormalScale as LogNormalScale
from .networks.latents import ScaleTail as ScaleTail
from .networks.latents import StudentScale as StudentScale
from .networks.latents import mixture_coupling as mixture_coupling
from .networks.model import AbstractModel as AbstractModel
from .networks.network import Network as Network
from .networks.readouts import AbstractReadout as AbstractReadout
from .networks.readouts import ReadoutTail as ReadoutTail
from .networks.scalar import ScalarMode as ScalarMode
from .networks.scalar import ultraviolet as ultraviolet
from .neurons.base import AbstractNeuron as AbstractNeuron
from .neurons.cos import Cos as Cos
from .neurons.gauss import Gauss as Gauss
from .neurons.hidden import Hidden as Hidden
from .neurons.relu import ReLU as ReLU
from .neurons.smooth import GELU as GELU
from .neurons.smooth import AbstractSmooth as AbstractSmooth
from .neurons.smooth import Activation as Activation
from .neurons.smooth import Erf as Erf
from .neurons.smooth import SiLU as SiLU
from .neurons.smooth import Sin as Sin
from .neurons.smooth import Softplus as Softplus
from .neurons.smooth import Tanh as Tanh
from .quantum.coupled import CoupledOscillators as CoupledOscillators
from .quantum.oscillator import Oscillator as Oscillator
from .quantum.spectrum import Spectrum as Spectrum
from .runtime import complete_numpyro as _complete_numpyro
from .spectral.free import FreeField as FreeField
from .spectral.path import Path as Path
from .theories.chain import Chain as Chain
from .theories.conventions import LATTICE_CONVENTIONS as LATTICE_CONVENTIONS
from .theories.conventions import convert_lattice as convert_lattice
from .training.descent import Descent as Descent
from .training.last_layer import Bayes as Bayes
from .training.last_layer import LastLayer as LastLayer
from .training.limits import Limit as Limit
from .training.limits import limit as limit
from .training.limits import tangent_kernel as tangent_kernel
from .training.trained import Trained as Trained
from .training.way import AbstractWay as AbstractWay

_complete_numpyro()

# What completion and `*` see: the names above and not the wings they come from.
__all__ = sorted(  # pyright: ignore[reportUnsupportedDunderAll]
    name for name, held in globals().items() if not name.startswith("_") and not isinstance(held, _Module)
)


def __dir__() -> list[str]:
    return list(__all__)
