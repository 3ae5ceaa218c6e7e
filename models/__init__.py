"""What the field theory is: neurons, networks, their exact correlators, and the actions that describe them."""

from .actions import Bilocal as Bilocal
from .actions import Constant as Constant
from .actions import FullQuartic as FullQuartic
from .actions import Local as Local
from .actions import gauge as gauge
from .actions import identifiable as identifiable
from .correlators import Correlators as Correlators
from .diagrams import four_point as four_point
from .diagrams import non_gaussianity as non_gaussianity
from .exact import exact as exact
from .networks import Network as Network
from .neurons import Cos as Cos
from .neurons import Erf as Erf
from .neurons import Gauss as Gauss
from .neurons import ReLU as ReLU
from .neurons import Tanh as Tanh
