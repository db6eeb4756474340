"""Cold emulated environments: installed with the host's own programs, and without, one after the other."""

from __future__ import annotations

import tempfile
from pathlib import Path

from harness.campaigns.choosing import plan_of
from harness.campaigns.options import cache_folder
from harness.containers.engine import Engine
from harness.containers.environments import Environments
from harness.containers.images import BaseImages
from harness.deploy import application_recipe, server_recipe
from harness.evidence import Recorder, Workspace
from harness.model.recipe import Recipe

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Print seconds of both ways for each environment of the demo; goal: at most a third in all."""
    definitions, _ = plan_of(ROOT / "matrices" / "powerdns")
    with tempfile.TemporaryDirectory() as scratch:
        workspace = Workspace(Path(scratch) / "ws")
        record = Recorder(workspace.journal, workspace.store, "bench", "", 0)
        engine = Engine(workspace.id)
        images = BaseImages(engine, cache_folder(), accepted={"debian-forky": "benchmark"})
        for os, cpu in (("debian-12", "kunpeng-920"), ("debian-forky", "loongson-3a5000")):
            system, architecture = definitions.systems[os], definitions.cpus[cpu].architecture
            images.prepare(system, architecture, record)
            application = definitions.application.for_axes({"os": os}, architecture)
            recipes: list[Recipe] = [
                application_recipe(application, os=os, cpu=definitions.cpus[cpu], folder=definitions.application_folder)
            ]
            recipes += [
                server_recipe(d, os=os, architecture=architecture)
                for d in definitions.databases.values()
                if d.placement == "server"
            ]
            totals = [0.0, 0.0]
            for recipe in recipes:
                both = [
                    Environments(engine, images, no_cache=True, native=native, campaign="bench")
                    .ensure(recipe, system, record)
                    .seconds
                    for native in (True, False)
                ]
                totals = [total + seconds for total, seconds in zip(totals, both, strict=True)]
                print(
                    f"{architecture:12} {recipe.name:12} native tools {both[0]:6.1f} s   emulated {both[1]:6.1f} s   "
                    f"ratio {both[0] / both[1]:.2f}",
                    flush=True,
                )
            print(
                f"{architecture:12} {'all':12} native tools {totals[0]:6.1f} s   emulated {totals[1]:6.1f} s   "
                f"ratio {totals[0] / totals[1]:.2f} (goal 0.33)",
                flush=True,
            )
