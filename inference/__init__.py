"""From networks to numbers: ensembles, measured correlators, and the couplings fitted to them."""

from .ensembles import Ensemble as Ensemble
from .fit import fit as fit
from .fit import model as model
from .generating import generating as generating
from .measure import measure as measure
from .samples import Samples as Samples
