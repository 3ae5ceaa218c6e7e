"""Run every example in the docstrings of nnft with each annotated type and shape checked; test_files.py starts it.

In a process of its own, since the check is woven in at import, and not in the other tests: it would answer a wrong
shape before the function can refuse it with a message of its own.
"""

import doctest
import importlib
import pkgutil
import sys
from collections.abc import Callable
from typing import Any, Self

from beartype import BeartypeConf, FrozenDict, beartype
from beartype.roar import BeartypeDecorHintException
from jaxtyping import install_import_hook

# The hook decorates methods one by one, where Self means nothing to beartype; an int may stand for a float.
CONF = BeartypeConf(hint_overrides=FrozenDict({Self: Any}), is_pep484_tower=True)


def check(function: Callable) -> Callable:
    try:
        return beartype(conf=CONF)(function)
    except BeartypeDecorHintException:  # a protocol, say, that is for the static checker only
        return function


def main(rooms: list[str]) -> int:
    failed = 0
    with install_import_hook("nnft", "__main__.check"):
        importlib.import_module("nnft.models.runtime").keep_programs()  # as all tests do
        for room in rooms:
            package = importlib.import_module(room)
            for name in [room, *(module.name for module in pkgutil.walk_packages(package.__path__, room + "."))]:
                found = doctest.testmod(
                    importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
                )
                failed += found.failed
                print(f"{name}: {found.attempted} examples, {found.failed} failed")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) > 0)
