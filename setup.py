"""What a wheel holds beside pyproject.toml: the shipped files in the package, our other two packages under one name.

A checkout has `assets`, `envs` and `training` at its top. As names in everybody's site-packages the latter two would
clash, so that a wheel has them in `worldsim_app/packages`, which `worldsim_app` puts on the path of its own process
(docs/architecture.md). An editable installation is the checkout as it is.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

MOVED = ("envs", "training")


class BuildPy(build_py):
    """Builds as ever, then moves and copies what lies elsewhere in a wheel."""

    def run(self) -> None:
        """Fill the build folder."""
        if self.editable_mode:
            super().run()
            return
        shutil.rmtree(self.build_lib, ignore_errors=True)  # of an earlier build
        super().run()
        built = Path(self.build_lib)
        for name in MOVED:
            shutil.move(built / name, built / "worldsim_app" / "packages" / name)
        shutil.copytree("assets", built / "worldsim" / "assets", ignore=shutil.ignore_patterns("*.png"))


setup(cmdclass={"build_py": BuildPy})
