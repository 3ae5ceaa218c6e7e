"""`configure` sets what it is asked to, once, and never breaks a session that has already started."""

import subprocess
import sys

import pytest

import nnft


def fresh(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_it_sets_precision_and_devices():
    code = "import nnft, jax, jax.numpy as jnp; print(nnft.configure(x64=True, cores=3), jnp.ones(1).dtype)"
    assert fresh("import os; os.environ['JAX_PLATFORMS'] = 'cpu'; " + code) == "3 float64"


def test_with_jax_started_the_devices_stay_and_nothing_is_raised():
    code = """
import os; os.environ["JAX_PLATFORMS"] = "cpu"
import jax, jax.numpy as jnp, nnft
jnp.ones(1)
print(nnft.configure(x64=True, cores=3), jnp.ones(1).dtype, nnft.configure(x64=False), jnp.ones(1).dtype)
"""
    assert fresh(code) == "1 float64 1 float32"


def test_left_out_settings_stay_as_they_are():
    import jax

    before = dict(jax.config.values)
    assert nnft.configure() == jax.local_device_count()
    assert dict(jax.config.values) == before


@pytest.mark.parametrize("cores", [0, -1, 1.5, True, "all"])
def test_it_refuses_what_is_no_number_of_cores(cores):
    with pytest.raises(Exception, match="cores"):
        nnft.configure(cores=cores)
