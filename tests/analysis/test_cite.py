"""What is to be cited: every source the suite names has an entry, a run is cited by what it used, BibTeX is whole."""

import json
import re

import pytest

from nnft.analysis.cli import main
from nnft.analysis.studies.published import EXPERIMENTS
from nnft.analysis.theories.box import BOXES
from nnft.analysis.theories.learning import LEARNING
from nnft.inference.posterior.words import SAMPLERS
from nnft.models.theories.registry import THEORIES
from nnft.models.theories.sources import bibtex, known_uses


def test_every_network_and_study_has_its_sources():
    assert {*THEORIES, *EXPERIMENTS, *BOXES, *LEARNING} <= set(known_uses())
    for name, theory in THEORIES.items():
        for number in re.findall(r"\d{4}\.\d{5}", theory.source):
            assert f"eprint = {{{number}}}" in bibtex(name)


def test_entries_are_whole_and_stand_once():
    text = bibtex(*known_uses())
    entries = re.split(r"\n\n(?=@)", text)
    keys = [re.match(r"@(article|book|misc|software)\{([^\s,{}]+),\n", entry)[2] for entry in entries]
    assert len(keys) == len(set(keys))
    for entry in entries:
        assert entry.count("{") == entry.count("}")
        assert re.search(r"\n  author = \{.+\},\n", entry)
        assert re.search(r"\n  title = \{.+\},\n", entry)
        assert re.search(r"\n  (year = \{\d{4}\}|version = )", entry)


def test_a_run_is_cited_by_what_it_used(tmp_path, capsys):
    recipe = {"model": {"class": "Network", "options": {"neuron": {"class": "Erf"}}}}
    made = {"action": "Bilocal", "recipe": json.dumps(recipe), "method": "tree", "sampler": SAMPLERS[1]}
    (tmp_path / "summary.json").write_text(json.dumps({"provenance": made}))
    assert main(["cite", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "2008.08601" in said
    assert "2307.03223" in said
    assert "1111.4246" not in said  # no chains were drawn
    assert "hyvarinen" not in said
    (tmp_path / "summary.json").write_text(json.dumps({"experiment": "hms-erf"}))
    assert main(["cite", str(tmp_path)]) == 0
    assert "Neural Networks and Quantum Field Theory" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["erv", "nowhere/"])
def test_what_is_not_known_is_refused(name, capsys):
    assert main(["cite", name]) == 2
    assert re.search(r"expected .*, got .*; try", capsys.readouterr().err)


def test_a_folder_without_a_run_is_refused(tmp_path, capsys):
    assert main(["cite", str(tmp_path)]) == 2
    assert "expected a finished run" in capsys.readouterr().err
