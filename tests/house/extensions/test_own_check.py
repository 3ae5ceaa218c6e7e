"""A check of one's own on the page: does any coupling lie closer to zero than a tenth of its prior?"""

import json
import re

import jax
import numpy as np
import pytest

from nnft import analysis as an
from nnft import inference as inf
from nnft import models as m


@pytest.fixture(scope="module")
def fit():
    fields = np.random.default_rng(3).normal(size=(2000, 1))
    return inf.fit(
        inf.Samples(fields, np.zeros((1, 1))), m.Local(), key=jax.random.key(4), sampler=inf.Closed(draws=50)
    )


def resolution(seen):
    """Posterior over prior sd, worst coupling."""
    worst = max(c.sd / c.prior_sd for c in seen.couplings)
    verdict = "pass" if worst < 0.1 else "warn"
    return an.Check("resolution of my study", f"{worst:.3f}", "< 0.1", verdict, "My students ask for a tenth.")


def test_it_stands_with_the_others(fit, tmp_path):
    own = an.diagnose(fit, resolution)[-1]
    assert own == resolution(an.Reading(fit))
    assert an.diagnose(fit, resolution)[:-1] == an.diagnose(fit)
    page = an.report(fit, tmp_path / "out", checks=[resolution])
    text = page.read_text(encoding="utf-8")
    assert re.search(rf"resolution of my study</th><td[^>]*><b>. {own.verdict}", text)
    assert "My students ask for a tenth." in text
    told = json.loads((page.parent / "summary.json").read_text(encoding="utf-8"))["checks"]
    assert [one["name"] for one in told] == [one.name for one in (*an.diagnose(fit), own)]
    assert "warn  always: 1" in an.summary(
        fit, checks=[lambda seen: an.Check("always", "1", "none", "warn", "It does.")]
    )


def test_what_is_no_answer_is_refused_by_name(fit):
    def forgetful(seen):
        max(c.sd for c in seen.couplings)

    def loud(seen):
        return [an.Check("loud", "1", "none", "alarm", "Why.")]

    with pytest.raises(ValueError, match=r"expected the check forgetful to answer with an\.Check.*, got None; try"):
        an.diagnose(fit, forgetful)
    with pytest.raises(ValueError, match=r"expected the check loud to give a verdict among .*, got 'alarm'; try"):
        an.diagnose(fit, loud)
