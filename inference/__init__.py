"""From networks to numbers: ensembles, measured correlators, and the couplings fitted to them."""

from .bounded import planted_bilocal as planted_bilocal
from .correlator_fit import fit_correlators as fit_correlators
from .correlator_fit import vertex_design as vertex_design
from .design import Design as Design
from .design import design as design
from .ensembles import Ensemble as Ensemble
from .few import Few as Few
from .few import few_networks as few_networks
from .fields import sample_action as sample_action
from .fit import fit as fit
from .fit import model as model
from .generating import generating as generating
from .hausman import hausman as hausman
from .interpolate import interpolate as interpolate
from .measure import measure as measure
from .patterns import measure_patterns as measure_patterns
from .planted import planted_chain as planted_chain
from .planted import planted_mixture as planted_mixture
from .planted import planted_site as planted_site
from .polynomial import fit_polynomial as fit_polynomial
from .pseudo import pseudo_equations as pseudo_equations
from .recovery import Recovery as Recovery
from .recovery import recover as recover
from .reference import draw_reference as draw_reference
from .samples import Samples as Samples
from .widths import split_widths as split_widths
