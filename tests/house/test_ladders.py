"""A thing answers for itself: nobody asks its type, and nobody reads its words to find out what it is."""

import re

import pytest

from tests.house.tree import ROOT, modules

MOST_TYPES = 6  # lines that ask `type(x) is`, each with its reason beside it
TYPE = re.compile(r"\btype\([\w.]+\) (?:is|in|not)\b|\bis type\(")
# The concrete classes of each kind, and the wing in which alone one may ask for them.
KINDS = {
    "models/neurons": ("Cos", "Erf", "Tanh", "ReLU", "Gauss", "Sin", "GELU", "SiLU", "Softplus", "Activation"),
    "models/networks": ("ScalarMode",
                        "GaussianReadout", "UniformReadout", "RademacherReadout", "LaplaceReadout", "GammaScale",
                        "StudentScale", "LogNormalScale"),
    "models/actions": ("Constant", "Local", "Bilocal", "FullQuartic", "FullSextic", "TranslationInvariant",
                       "LatticePhi4", "Modes"),
    "inference/priors": ("UnitInformation", "SmoothPrior", "LowRankPrior", "Given"),
    "inference/methods": ("Score", "Pseudo", "Gold", "TreeLevel"),
    "inference/posterior": ("Nuts", "Closed", "Variational"),
}  # fmt: skip
READOUT = re.compile(r"(?<!for )readout\w* *(?:==|!=|in|is) *[\[({]?[\"']")
REPR = re.compile(r"ast\.(?:parse|literal_eval)|re\.\w+\([^)]*repr\(")


def ladders(texts: dict[str, str]) -> dict[str, list[str]]:
    """Lines that ask what a thing is instead of asking the thing, by the rule they break."""
    found: dict[str, list[str]] = {"type": [], "isinstance": [], "readout": [], "repr": []}
    names = {name: home for home, kinds in KINDS.items() for name in kinds}
    asked = re.compile(r"(?:isinstance|issubclass)\([^()]*?,[^)]*\b(" + "|".join(names) + r")\b")
    for file, text in texts.items():
        for number, line in enumerate(text.splitlines(), 1):
            where = f"{file}:{number}: {line.strip()[:100]}"
            if TYPE.search(line):
                found["type"].append(where)
            if (hit := asked.search(line)) and not file.startswith(names[hit[1]] + "/"):
                found["isinstance"].append(where)
            if READOUT.search(line) and file != "models/networks/readouts.py":
                found["readout"].append(where)
            if REPR.search(line):
                found["repr"].append(where)
    return found


def test_nobody_asks_what_a_thing_is():
    texts = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in modules().values()}
    found = ladders(texts)
    assert len(found.pop("type")) <= MOST_TYPES, ladders(texts)["type"]
    assert found == {"isinstance": [], "readout": [], "repr": []}


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ("type", "    if type(neuron) is Cos:"),
        ("type", "    if type(self.model) not in KNOWN:"),
        ("isinstance", "    if isinstance(action, Modes):"),
        ("isinstance", "    if isinstance(prior, Given | SmoothPrior):"),
        ("readout", '    if network.readout == "gaussian":'),
        ("repr", "    call = ast.parse(fit.attrs['model'])"),
    ],
)
def test_a_planted_ladder_is_seen(rule, line):
    assert len(ladders({"inference/planning/new.py": line})[rule]) == 1
    assert ladders({"models/actions/new.py": "isinstance(action, Modes)"})["isinstance"] == []
