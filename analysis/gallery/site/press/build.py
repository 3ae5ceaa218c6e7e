"""`make docs`: gather the pages, run the notebooks, build the site into out/docs/site, follow every link.

python analysis/gallery/site/press/build.py          notebooks at full size; what has not changed is not run again
python analysis/gallery/site/press/build.py small    notebooks with few networks, as the tests run them
"""

import os
import shutil
import sys
from pathlib import Path

from cards import hang
from links import dead_links
from names import ROOT
from sources import gather
from sphinx.cmd.build import main as sphinx

__all__ = ["main"]


def main(size: str = "full") -> int:
    """Build the site; 0 if there is no warning and no dead link.

    Raises:
        ValueError: another size than full or small.
    """
    if size not in ("full", "small"):
        raise ValueError(f"expected the size full or small, got {size!r}; try make docs size=small")
    os.chdir(ROOT)
    out = Path("out/docs")
    gather(out / "source", small=size == "small")
    _quiet_kernels(out / "ipython")
    press = str(Path(__file__).parent)
    shutil.rmtree(out / "site", ignore_errors=True)
    folders = ["-d", str(out / "trees"), str(out / "source"), str(out / "site")]
    code = sphinx(["-W", "--keep-going", "-q", "-E", "-b", "html", "-c", press, *folders])
    hang(out / "site")
    dead = dead_links(out / "site")
    print(*dead, sep="\n") if dead else print(f"{out / 'site' / 'index.html'}: no dead link")
    return int(code != 0 or bool(dead))


def _quiet_kernels(folder: Path) -> None:
    """Notebooks run with settings of their own, the same on every machine; kernels say what goes wrong only."""
    profile = folder / "profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    settings = "c = get_config()\nc.IPKernelApp.log_level = 40\n"
    (profile / "ipython_kernel_config.py").write_text(settings, encoding="utf-8")
    os.environ["IPYTHONDIR"] = str(folder.resolve())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
