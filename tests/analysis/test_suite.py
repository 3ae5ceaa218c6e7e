"""What `nnft models` prints is what the networks of the suite are, and fits a terminal."""

from nnft.analysis.suite import table
from nnft.models.theories.registry import THEORIES


def test_it_fits_a_terminal_and_names_everything():
    shown = table()
    assert max(len(line) for line in shown.splitlines()) <= 100
    parts = shown.split("\n\n")
    assert "nnft run cos" in parts[len(THEORIES) + 1]  # after a preamble and the networks the command to begin with
    for part, theory in zip(parts[1:], THEORIES.values(), strict=False):
        words = " ".join(part.split())
        assert words.startswith(f"{theory.name} {theory.activation} K(x,y) {theory.kernel} exact orders ")
        assert f" exact orders {', '.join(map(str, theory.orders))} {theory.known} tails {theory.tails} " in words
        scales = ", ".join(f"{name} {value:g}" for name, value in theory.scales.items())
        assert f" defaults width {theory.width}, {scales}; points " in words
        assert f"({theory.choice}; Gram matrix of condition {theory.condition:.3g}, eps4 = {theory.eps4:.2f})" in words
        assert theory.source in words


def test_points_of_a_plane_are_written_as_pairs():
    shown = table()
    assert "points -3, -1, 1, 3\n" in shown
    assert "points (1, 0), (0, 1), (-1, 0), (0, -1)\n" in shown


def test_field_theories_stand_with_their_numbers_and_how_they_were_made():
    shown = table().partition("Field theories known by another road")[2].split("\n\n")[1:]
    assert [part.split()[0] for part in shown] == ["oscillator", "pair", "chain", "box", "lattice"]
    assert "0.3548402512" in shown[0]
    assert all(" made " in " ".join(part.split()) for part in shown)
    widths = [[len(line) for line in part.splitlines()[-3:]] for part in shown]
    assert all(len(set(sizes)) == 1 for sizes in widths)  # columns stand under each other
