# From a bare clone: `make study` or `make test`. Every target that needs Python makes .venv first (see setup.sh).
python := .venv/bin/python
pytest := $(python) -m pytest
# What meets the libraries from every side: sampling, labels and files, figures, ArviZ, the page and the command line.
oldest := $(addprefix tests/,models/test_exact.py inference/test_fit.py inference/test_labels.py \
    analysis/test_plots.py analysis/test_predictive.py analysis/test_report.py analysis/test_cli.py)

help:  ## show this list
	@sed -n 's/^\([a-z]*\):.*##/\1\t/p' Makefile

study: ready  ## the standard run: cos networks of width 20, one page in out/cos
	.venv/bin/nnft run cos -o out/cos --force

test: ready  ## the quick tests
	$(pytest) -n auto --maxprocesses 4 --dist loadscope --ignore tests/proof --ignore tests/benchmarks

lint: ready  ## style, format, types
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(python) -m pyright

proof: ready  ## coverage, calibration and efficiency with tight bands (up to an hour)
	$(pytest) tests/proof -m proof

rungs: ready  ## the table of the site: what each rung of the ladder of actions explains
	$(python) -c "from nnft.analysis.comparisons.rungs import update; update('analysis/gallery/site/ladder.md')"

axioms: ready  ## the table of the site: which theory keeps which of the Osterwalder-Schrader axioms
	$(python) -c "from nnft.analysis.theories.axioms import update; update('analysis/gallery/site/axioms.md')"

bench: ready  ## timings and memory
	$(python) tests/benchmarks/run.py

notebooks: ready  ## run every notebook at full size, with its figures, into out/notebooks
	@mkdir -p out/notebooks
	@set -e; for source in analysis/gallery/*.py; do \
	    result=out/notebooks/$$(basename "$$source" .py).ipynb; echo "$$result"; \
	    $(python) -m jupytext --quiet --to ipynb --output "$$result" "$$source"; \
	    .venv/bin/jupyter-execute --inplace "$$result"; done

docs: ready  ## the site in out/docs/site, notebooks run at full size once; make docs size=small for a first look
	$(python) analysis/gallery/site/press/build.py $(size)

lock: ready  ## choose all versions afresh and write requirements.lock
	UV_CUSTOM_COMPILE_COMMAND='make lock' .venv/bin/uv pip compile pyproject.toml --group dev --all-extras \
	    --universal --python-version 3.12 --generate-hashes --no-emit-index-url --upgrade --quiet -o requirements.lock

lowest: ready  ## the oldest versions pyproject.toml allows, in .lowest, with a short list of tests
	.venv/bin/uv venv --quiet --clear --python $(python) .lowest
	.venv/bin/uv pip install --quiet --python .lowest/bin/python --resolution lowest-direct --editable . --group dev
	.lowest/bin/python -m pytest -W ignore::DeprecationWarning $(oldest)  # of old libraries about newer ones

ready:
	@sh setup.sh

size = full

.DEFAULT_GOAL := help
.PHONY: help study test lint proof rungs axioms bench notebooks docs lock lowest ready
