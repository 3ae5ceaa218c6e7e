"""The first screen: a sentence that follows the checks, three lines that follow the fit, and commands that run."""

import re
import shlex

import numpy as np
import pytest

from nnft.analysis import Check, diagnose
from nnft.analysis.checks.check import GROUPS, grouped
from nnft.analysis.cli import main
from nnft.analysis.figures import posterior as plots
from nnft.analysis.figures.canvas import MOST_ROWS, svg, thinned
from nnft.analysis.pages.seen import couplings_seen, four_point_seen, prior_seen, schwinger_dyson_seen, trace_seen
from nnft.analysis.pages.verdict import again, lines, sentence
from nnft.analysis.reading.fit import Reading

ACTIONS = ["Bilocal", "Local", "Constant", "FullQuartic"]


def said(fit, checks):
    return "".join(f"{part.before}{part.word}{part.after}" for part in sentence(fit, checks)).strip()


def one(verdict, group, name="a name"):
    return Check(name, "1.5, more", "< 1", verdict, "Why.", group)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("verdict", ["note", "pass", "warn", "fail"])
def test_the_sentence_has_four_words_that_wear_the_gravest_verdict(fits, action, verdict):
    for group in ("data", "theory", "fit", "sampler"):
        checks = [one("pass", group), one(verdict, group), one("note", group)]
        parts = sentence(fits[action], checks)
        assert [part.word for part in parts] == ["measured", "action exists", "sampler", "explained"]
        worn = {part.group: part.verdict for part in parts}
        assert worn == dict.fromkeys(worn, "pass") | {group: "pass" if verdict == "note" else verdict}
        text = said(fits[action], checks)
        assert re.fullmatch(r"The field is .*[^ ,.]\.", text)
        assert ("(a name 1.5)" in text) == (verdict in ("warn", "fail"))
        assert not re.search(r"  |\{|\}| ,| \.", text)


def test_a_lost_sampler_is_not_called_good(small_fit):
    """Planted: the words of a pass with the check that fails."""
    assert "the sampler found the posterior," in said(small_fit, [one("pass", "sampler")])
    assert "the sampler did not find the posterior (a name 1.5)," in said(small_fit, [one("fail", "sampler")])
    assert "no effective action exists to speak of" in said(small_fit, [one("fail", "theory")])
    assert "action exists with reserve (a name 1.5, another)" in said(
        small_fit, [one("warn", "theory"), one("warn", "theory", "another")]
    )


def test_every_check_of_a_fit_is_about_something(small_fit):
    found = grouped(diagnose(small_fit))
    assert list(found) == ["data", "theory", "fit", "sampler"]
    assert list(GROUPS) == [*found, "own"]
    with pytest.raises(ValueError, match=r"expected the check 'a name' to be about data, .* got 'else'; try 'own'"):
        grouped([one("pass", "else")])


@pytest.mark.parametrize("action", ACTIONS)
def test_three_lines(fits, action):
    say, silent, run = lines(fits[action], diagnose(fits[action]))
    assert "ε₄" in say.text
    assert "belong to this set of points" in silent.text
    assert run.text.endswith(".")


@pytest.mark.parametrize(
    ("check", "option"),
    [
        (one("fail", "sampler", "R-hat"), "--draws 800"),
        (one("fail", "theory", "eps4"), "--width 40"),
        (one("warn", "fit", "prior against data"), "--prior-scale 3"),
        (one("warn", "fit", "share of the gain"), "--action full_quartic"),
        (one("pass", "fit", "share of the gain"), "--width 40"),
    ],
)
def test_what_to_run_next_is_a_command_that_is_read(small_fit, check, option, tmp_path, monkeypatch):
    fit = small_fit.copy(deep=True)
    fit.attrs["study"] = "net = 'cos'\nwidth = 20\n"
    fit["constant_data"].attrs["eps4"] = 0.5
    run = lines(fit, [check])[2]
    assert option in run.code
    (tmp_path / "study.toml").write_text(fit.attrs["study"])
    monkeypatch.chdir(tmp_path)
    seen = {}
    monkeypatch.setattr("nnft.analysis.studies.study.run", lambda study, out, **more: seen.update(study=study, out=out))
    monkeypatch.setattr("nnft.analysis.cli._finish", lambda work, *_, **__: work() or 0)
    assert main(shlex.split(run.code)[1:]) == 0
    name, value = option[2:].split()
    assert str(getattr(seen["study"], name.replace("-", "_"))).removesuffix(".0") == value
    assert str(seen["out"]) == "next"


def test_a_fit_without_a_study_has_no_command(small_fit):
    assert again(Reading(small_fit), width=40) == ""


def test_alternative_texts_hold_numbers(small_fit, fits):
    for fit in fits.values():
        texts = [seen(fit) for seen in (couplings_seen, four_point_seen, prior_seen, schwinger_dyson_seen, trace_seen)]
        assert all(re.search(r"\d", text) and text.endswith(".") and "$" not in text for text in texts)
    low = min(Reading(small_fit).couplings, key=lambda c: c.mean)
    assert f"From {low.text} = " in couplings_seen(small_fit)


def test_long_figures_are_thinned_and_keep_both_ends():
    assert len(thinned(MOST_ROWS)) == MOST_ROWS
    for count in (MOST_ROWS + 1, 70, 126, 330):
        kept = thinned(count)
        assert len(kept) == len(set(kept.tolist())) == MOST_ROWS
        assert np.all(np.diff(kept) > 0)
        assert (kept[:10].tolist(), kept[-10:].tolist()) == (list(range(10)), list(range(count - 10, count)))


def test_a_figure_follows_light_and_dark(small_fit):
    """No ink or paper is left as a colour of its own, and the same figure is the same file."""
    made = [svg(plots.plot_prior_posterior(small_fit)) for _ in range(2)]
    assert made[0] == made[1]
    drawing = made[0].partition("</style>")[2]
    assert "var(--ink)" in drawing
    assert not re.search("#(222222|ffffff|000000)", drawing)
    assert "prefers-color-scheme:dark" in made[0]
