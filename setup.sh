#!/bin/sh
# Makes .venv from requirements.lock, once; every target of the Makefile asks for it first.
#   sh setup.sh          set up, or do nothing if this has been done for these very files in this very folder
#   sh setup.sh --find   print the Python it would use
set -eu

# It must really run: a pyenv shim can exist and refuse. venv without ensurepip (Debian) could not install anything.
works() {
    "$1" -c 'import ensurepip, sys, venv
sys.exit(sys.implementation.name != "cpython" or sys.version_info < (3, 12))' >/dev/null 2>&1 </dev/null
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        works "$PYTHON" && { command -v "$PYTHON"; return; }
        echo "nnft: PYTHON=$PYTHON is not a working Python >= 3.12, looking for another" >&2
    fi
    for python in python3.14 python3.13 python3.12 python3 \
        "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/*/bin/python \
        "${UV_PYTHON_INSTALL_DIR:-${XDG_DATA_HOME:-${HOME:-}/.local/share}/uv/python}"/*/bin/python3
    do
        works "$python" && { command -v "$python"; return; }
    done
    echo "nnft: no working Python >= 3.12 found: install Python 3.12 or newer with its venv module," \
        "or name one with PYTHON=/path/to/python" >&2
    return 1
}

if [ "${1:-}" = --find ]; then
    find_python
    exit
fi

cd "$(dirname "$0")"
here=$(pwd -P)
stamp=.venv/ready
# Contents, not times: a clone, a copy or a change of branch gives files any time. The folder, because a venv cannot move.
state=$(cat requirements.lock pyproject.toml setup.sh | cksum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$here: $state" ] && works .venv/bin/python; then
    exit 0
fi

# The stamp is written last and removed first, so a set-up cut short is begun again from nothing.
case "$(cat "$stamp" 2>/dev/null)" in
    "$here: "*) works .venv/bin/python && fresh=no || fresh=yes ;;
    *) fresh=yes ;;
esac
rm -f "$stamp"
if [ "$fresh" = yes ]; then
    python=$(find_python)
    echo "nnft: making .venv with $("$python" -V) (once, a few minutes)"
    "$python" -m venv --clear .venv
else
    echo "nnft: bringing .venv up to date"
fi
install() { .venv/bin/python -m pip --disable-pip-version-check install --quiet --no-deps "$@"; }
install --require-hashes -r requirements.lock
install --no-build-isolation --editable .
# The root is the package whatever its folder is called: type checkers, which do not run the editable hook, follow a link.
mkdir -p .venv/typings
ln -sfn ../.. .venv/typings/nnft
echo "$here: $state" >"$stamp"
