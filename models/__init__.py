"""What the field theory is: neurons, networks, their exact correlators, and the actions that describe them."""

from .actions import Bilocal as Bilocal
from .actions import Constant as Constant
from .actions import FullQuartic as FullQuartic
from .actions import FullSextic as FullSextic
from .actions import Local as Local
from .actions import LowRankBilocal as LowRankBilocal
from .actions import Modes as Modes
from .actions import SmoothBilocal as SmoothBilocal
from .actions import gauge as gauge
from .actions import identifiable as identifiable
from .chain import Chain as Chain
from .convergence import finite_source as finite_source
from .correlators import Correlators as Correlators
from .deformed import Deformed as Deformed
from .deformed import input_weight_energy as input_weight_energy
from .densities import exact_density as exact_density
from .diagrams import four_point as four_point
from .diagrams import non_gaussianity as non_gaussianity
from .diagrams import predicted as predicted
from .exact import exact as exact
from .functionals import Edgeworth as Edgeworth
from .functionals import cumulant_series as cumulant_series
from .generating import exact_generating as exact_generating
from .lattice import LATTICE_CONVENTIONS as LATTICE_CONVENTIONS
from .lattice import convert_lattice as convert_lattice
from .lattice_actions import LatticePhi4 as LatticePhi4
from .lattice_actions import TranslationInvariant as TranslationInvariant
from .networks import Network as Network
from .neurons import Cos as Cos
from .neurons import Erf as Erf
from .neurons import Gauss as Gauss
from .neurons import ReLU as ReLU
from .neurons import Tanh as Tanh
from .normalisability import boundedness as boundedness
from .runtime import complete_numpyro as _complete_numpyro
from .scalar import ScalarMode as ScalarMode
from .scalar import ultraviolet as ultraviolet
from .shared import GammaScale as GammaScale
from .shared import LogNormalLength as LogNormalLength
from .shared import LogNormalScale as LogNormalScale
from .shared import StudentScale as StudentScale
from .shared import mixture_coupling as mixture_coupling
from .vertices import EffectiveCouplings as EffectiveCouplings
from .vertices import effective_couplings as effective_couplings

_complete_numpyro()
