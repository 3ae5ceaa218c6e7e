"""Settings of a study: an action with its options survives a file, and what cannot be asked is refused."""

import pytest

from nnft import inference as inf
from nnft import models as m
from nnft.analysis import Study


def test_settings_of_actions_survive_a_file(tmp_path):
    study = Study(action="translation_invariant", shape=4, reach=1, periodic=False, method="pseudo", sampler="closed")
    assert study.made_action() == m.TranslationInvariant(shape=(4,), reach=1, periodic=False)
    (tmp_path / "study.toml").write_text(study.to_toml(), encoding="utf-8")
    again = Study.from_toml(tmp_path / "study.toml")
    assert again.made_action() == study.made_action()
    assert (again.method, again.sampler) == ("pseudo", "closed")
    assert Study(action="modes", count=3).made_action() == m.Modes(count=3)
    for word, options, prior in (
        ("smooth_bilocal", {"discrepancy": False}, inf.SmoothPrior(discrepancy=False, scale=2.0)),
        ("low_rank_bilocal", {"rank": 2}, inf.LowRankPrior(rank=2, scale=2.0)),
    ):
        study = Study(action=word, prior_scale=2.0, **options)
        assert (study.made_action(), study.made_prior()) == (m.Bilocal(), prior)
    assert Study(action="lattice_phi4", shape=[4], kappa=1).made_action() == m.LatticePhi4(shape=(4,), kappa=1.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "scroe"}, r"expected method among score, .*, got 'scroe'; try 'score'"),
        ({"sampler": "nutz"}, r"expected sampler among nuts, .*, got 'nutz'; try 'nuts'"),
        ({"sampler": 3}, r"expected sampler to be a word, got 3; try 'nuts'"),
        ({"action": "local", "shape": [4]}, r"expected local with no options, got 'shape'; try leaving it out"),
        ({"action": "lattice_phi4"}, r"expected lattice_phi4 with its shape, kappa, got .*; try shape=\[8,8\]"),
        ({"action": "lattice_phi4", "shape": [8, 1]}, r"expected at least two sites .*, got \(8, 1\); try"),
        ({"action": "lattice_phi4", "shape": "big"}, r"expected shape, .* got 'big'; try 8"),
        ({"action": "modes"}, r"expected modes with its count, action, got .*; try count=4"),
        ({"action": "modes", "count": 0}, r"expected count to be an integer >= 1, got 0; try"),
        ({"action": "low_rank_bilocal", "rank": 1.5}, r"expected rank to be an integer >= 1, got 1\.5; try"),
        ({"action": "translation_invariant", "reach": -1}, r"expected reach to be an integer >= 0, got -1; try"),
        ({"action": "translation_invariant", "periodic": 1}, r"expected periodic to be true or false, got 1; try"),
        ({"action": "lattice_phi4", "shape": [4], "kappa": "k"}, r"expected kappa to be a finite number, got 'k'; try"),
        (
            {"action": "smooth_bilocal", "sampler": "closed"},
            r"sampler='closed', got SmoothPrior; try",
        ),
        ({"method": "gold", "space": "neuron"}, r"expected space='field' for method='gold', .* got 'neuron'; try"),
        ({"action": "smooth_bilocal", "rank": 2}, r"expected smooth_bilocal with discrepancy, got 'rank'; try"),
        ({"action": "smoth_bilocal"}, r"expected an action among .*, got 'smoth_bilocal'; try 'smooth_bilocal'"),
        ({"rnak": 2}, r"expected one of \d+ settings, the nearest being .*, got 'rnak'; try 'rank'"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Study.of(settings)
