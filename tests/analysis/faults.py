"""Faults planted in a healthy fit: each changes what one check looks at, and nothing else."""

import numpy as np

NAMES = ("g", "u", "v")


def changed(fit, change):
    copy = fit.copy(deep=True)
    change(copy)
    return copy


def attribute(**values):
    return lambda fit: fit["constant_data"].attrs.update(values)


def scaled(factor):
    def change(fit):
        for name in NAMES:
            fit["posterior"][name].values[...] *= factor

    return change


def one_chain_elsewhere(fit):
    g = fit["posterior"]["g"].values
    g[0, :, 0] += 2.0 * g[..., 0].std()


def one_coupling_stuck(fit):
    fit["posterior"]["g"].values[..., 0] = fit["posterior"]["g"].values[0, 0, 0]


def each_draw_twenty_times(fit):
    for name in ("q", *NAMES):
        values = fit["posterior"][name].values
        values[...] = np.repeat(values[:, ::20], 20, axis=1)


def tails_in_one_stretch(fit):
    """A fifth of each chain, in one piece, is ten times as wide: the tails come from there, the bulk is as it was."""
    g = fit["posterior"]["g"].values
    g[:, 200:300] = g.mean(axis=(0, 1)) + 10.0 * (g[:, 200:300] - g.mean(axis=(0, 1)))


def one_divergence(fit):
    fit["sample_stats"]["diverging"].values[1, 7] = True


def wandering_energy(fit):
    energy = fit["sample_stats"]["energy"].values
    energy[2] = np.cumsum(energy[2])


def shifted(size):
    """The sampled mean of one coupling, in units of its posterior sd, all chains alike."""

    def change(fit):
        g = fit["posterior"]["g"].values
        g[..., 1] += size * g[..., 1].std()

    return change


def one_draw_unbounded(fit):
    for name in NAMES:
        fit["posterior"][name].values[0, 0] *= -1.0


def left_out(fit):
    """A Laplacian of phi_0 phi_1 phi_1 phi_2, which the action has no term for, off by far more than its error."""
    where = list(fit["constant_data"]["quad"].values).index("0,1,1,2")
    fit["constant_data"]["laplacian"].values[where] += 1.0


def opposite_four_point(fit):
    fit["observed_data"]["G4"].values[...] *= -1.0


def pulled(size):
    """The closed posterior away from the estimate without prior, in units of its sd."""

    def change(fit):
        constants = fit["constant_data"]
        estimate = constants["estimate"].values / constants["factors"].values
        constants["closed_mean"].values[...] = estimate + size * constants["closed_sd"].values

    return change


def prior_times(factor):
    def change(fit):
        fit["constant_data"]["prior_factor"].values[...] *= factor

    return change


def posterior_as_wide_as_the_prior(fit):
    for name in NAMES:
        after, before = fit["posterior"][name].values, fit["prior"][name].values
        after[...] = after.mean() + (after - after.mean((0, 1))) * before.std((0, 1)) / after.std((0, 1))


def untouched(fit): ...


# Check, planted fault, its verdict, and the healthy twin where it is not the healthy fit itself.


def networks_each(count):
    """So many networks for each coupling, everything else as it was."""

    def change(fit):
        fit.attrs["networks"] = count * sum(fit["posterior"][name].shape[-1] for name in ("q", *NAMES))

    return change
