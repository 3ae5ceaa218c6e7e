"""Settings of Sphinx for the site; `make docs` gathers the pages and starts it (build.py)."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import nnft
from nnft.analysis.pages.formulas import mathml

project = "nnft"
author = copyright = "The nnft developers"
release = version = nnft.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "names"]
html_theme = "furo"
html_title = f"nnft {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_math_renderer = "mathml"
pygments_style, pygments_dark_style = "friendly", "monokai"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_cache_path = str(Path(__file__).resolve().parents[4] / "out/docs/executed")
nb_execution_timeout = 1800
nb_execution_raise_on_error = True

autosummary_generate = False  # the pages are ours: a wing each (names.py)
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 88
nitpicky = False


def setup(app: Any) -> None:
    """Formulas as on the page of a fit: MathML, which needs no script, no fonts and no net."""
    from docutils.nodes import SkipNode

    def inline(writer: Any, node: Any) -> None:
        writer.body.append(mathml(node.astext()))
        raise SkipNode

    def block(writer: Any, node: Any) -> None:
        writer.body.append(f'<div class="math">{mathml(node.astext(), display=True)}</div>')
        raise SkipNode

    app.add_html_math_renderer("mathml", (inline, None), (block, None))
