"""Recipes of environments from definitions."""

from __future__ import annotations

import hashlib
from pathlib import Path

from harness.model.definitions import Application, Artifact, Cpu, Database, Middleware, Wheel
from harness.model.recipe import Recipe, RecipeFile


def application_recipe(application: Application, *, os: str, cpu: Cpu, folder: Path) -> Recipe:
    """The product's environment. ``folder`` holds application.yaml and the artifacts.

    A product from the system's own repositories shares its environment between the CPU classes of one
    architecture; one that brings its own files is installed as the class at hand.
    """
    fitting = [a for a in application.artifacts if a.architecture in ("all", cpu.architecture)]
    return Recipe(
        name=application.application,
        os=os,
        architecture=cpu.architecture,
        packages=application.packages,
        package_files=tuple(_file(a, folder) for a in fitting if a.install == "package"),
        copies=tuple(_file(a, folder) for a in fitting if a.install == "copy"),
        archives=tuple(_file(a, folder) for a in fitting if a.install == "archive"),
        images=tuple(_file(a, folder) for a in fitting if a.install == "image"),
        commands=application.setup,
        cpu=cpu.emulation.user if fitting else None,
    )


def server_recipe(server: Database | Middleware, *, os: str, architecture: str) -> Recipe:
    """The environment of a server of the lab."""
    named, files = (server.database, server.before_install) if isinstance(server, Database) else (server.middleware, ())
    wheels = server.wheels if isinstance(server, Database) else ()
    before = tuple(RecipeFile(path=f.path, content=f.content, mode=f.mode) for f in files)
    return Recipe(
        name=named,
        os=os,
        architecture=architecture,
        before=before,
        packages=server.packages,
        archives=tuple(
            RecipeFile(path=file.to, wheel=file.wheel, sha256=_digest(file, architecture), beneath=True)
            for file in wheels
        ),
        commands=server.setup,
    )


def _digest(wheel: Wheel, architecture: str) -> str:
    return next((digest for name, digest in wheel.sha256.items() if name == architecture), "")


def _file(artifact: Artifact, folder: Path) -> RecipeFile:
    source = folder / artifact.path
    return RecipeFile(
        path=artifact.to or source.name,
        mode=artifact.mode,
        source=source,
        strip=artifact.strip,
        beneath=artifact.beneath,
        sha256=hashlib.sha256(source.read_bytes()).hexdigest(),
    )
