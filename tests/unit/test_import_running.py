"""Systems whose own programs cannot run are no targets, on import and in a cell."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from harness.containers.engine import Engine
from harness.containers.first_program import first_program
from harness.errors import AttestationMismatch, HarnessError, InfrastructureError, ProvisionError, UsageError
from tests.elves import elf
from tests.imports import Place
from tests.roots import LOADERS, config, files, saved, tar_of

LOADER = "/lib64/ld-linux-x86-64.so.2"


def program(*needed: str, interpreter: str = LOADER, machine: str = "x86_64") -> bytes:
    return elf(machine=machine, kind="executable", interpreter=interpreter, needed=needed)


def library(*needed: str, machine: str = "x86_64") -> bytes:
    return elf(machine=machine, needed=needed)


def linked(**change: bytes | str | None) -> dict[str, bytes | str | None]:
    """A root whose programs need libraries that need others, some of them behind links."""
    whole: dict[str, bytes | str | None] = {
        "usr/bin/dash": program("libc.so.6"),
        "usr/bin/sleep": program("libacl.so.1", "libc.so.6"),
        "usr/bin/timeout": program("libc.so.6"),
        "usr/lib/x86_64-linux-gnu/libacl.so.1": "-> libacl.so.1.1.2",
        "usr/lib/x86_64-linux-gnu/libacl.so.1.1.2": library("libattr.so.1", "libc.so.6"),
        "usr/lib64/libattr.so.1": library("libc.so.6"),
    }
    return {**files(), **whole, **change}


def test_programs_with_all_their_libraries_are_a_system(place: Place) -> None:
    assert place.import_root(tar_of(linked())).changed


CHANGES: list[tuple[dict[str, bytes | str | None], str]] = [
    ({"usr/lib64/libattr.so.1": None}, "libacl.so.1 needs libattr.so.1, which is not there"),
    ({"usr/lib64/libattr.so.1": "-> libattr.so.1.9"}, "libacl.so.1 needs libattr.so.1, which is not there"),
    ({"usr/lib64/libattr.so.1": "-> libattr.so.1"}, "libacl.so.1 needs libattr.so.1, which is not there"),
    ({"usr/lib64/libattr.so.1": library(machine="aarch64")}, "libacl.so.1 needs libattr.so.1, which is not there"),
    ({"usr/lib/x86_64-linux-gnu/libacl.so.1.1.2": None}, "sleep needs libacl.so.1, which is not there"),
    ({"usr/lib/libc.so.6": None}, "sh needs libc.so.6, which is not there"),
    ({"usr/bin/dash": program("libx.so.1")}, "sh needs libx.so.1, which is not there"),
    ({"usr/bin/sleep": program(interpreter="/lib/ld-musl-x86_64.so.1")}, "sleep needs /lib/ld-musl-x86_64.so.1"),
    ({"usr/bin/sleep": None}, "has no sleep"),
    ({"usr/bin/sleep": "-> nowhere"}, "has no sleep"),
    ({"usr/bin/sleep": b"no program\n"}, "sleep: no program of a known machine"),
    ({"usr/bin/sleep": b"#!/usr/bin/coreutils --x=sleep\n"}, "sleep: no program of a known machine"),
    ({"usr/bin/sleep": b"#!\n"}, "sleep: no program of a known machine"),
    (
        {"usr/lib64/libattr.so.1": None, "var/lib/machines/x/usr/lib/libattr.so.1": library()},
        "libacl.so.1 needs libattr.so.1, which is not there",
    ),
]


@pytest.mark.parametrize(("change", "words"), CHANGES, ids=lambda value: value if isinstance(value, str) else "")
def test_programs_that_cannot_run_are_no_system(
    place: Place, change: dict[str, bytes | str | None], words: str
) -> None:
    whole = {**linked(), **change}
    with pytest.raises(UsageError) as caught:
        place.import_root(tar_of(whole))
    assert words in caught.value.message
    layers = [tar_of(whole)]
    with pytest.raises(UsageError) as caught:
        place.import_archive(saved(("", layers, config(layers))))
    assert words in caught.value.message
    assert (place.left(), place.proved) == ([], [])


def test_commands_that_are_scripts_of_one_program_are_that_program(place: Place) -> None:
    """So is coreutils in small images of the RPM family."""
    script = "#!/usr/bin/coreutils --coreutils-prog-shebang={}\n"
    small = {f"usr/bin/{name}": script.format(name).encode() for name in ("sleep", "timeout")}
    whole = {**linked(), **small, "usr/bin/coreutils": program("libacl.so.1")}
    assert place.import_root(tar_of(whole)).changed
    with pytest.raises(UsageError, match="timeout: aarch64"):
        place.import_root(tar_of({**whole, "usr/bin/coreutils": program(machine="aarch64")}))
    with pytest.raises(UsageError, match=r"libacl\.so\.1 needs libattr\.so\.1"):
        place.import_root(tar_of({**whole, "usr/lib64/libattr.so.1": None}))


def test_static_programs_need_nothing(place: Place) -> None:
    alone = elf(machine="x86_64", kind="executable")
    whole = {**files(), **{f"usr/bin/{name}": alone for name in ("dash", "sleep", "timeout")}}
    assert LOADERS["x86_64"] in whole
    assert place.import_root(tar_of({**whole, "usr/lib/libc.so.6": None})).changed


class Engines:
    """An engine with two containers. ``states``: of each; ``said``: what one prints that is started again."""

    def __init__(self, *states: dict[str, Any], said: str = "") -> None:
        self.states, self.said, self.left = dict(zip("ab", states, strict=False)), said, list[str]()
        self.asked: dict[str, Any] = {}
        self.client = SimpleNamespace(
            api=SimpleNamespace(inspect_container=self.inspect), containers=SimpleNamespace(create=self.create)
        )

    def ulimits(self) -> None:
        return None

    def inspect(self, name: str) -> dict[str, Any]:
        config = {"Cmd": ["sleep", "infinity"], "Entrypoint": None, "User": ""}
        return {"State": self.states[name], "Config": config, "Image": "sha256:1"}

    def create(self, image: str, command: list[str], **asked: Any) -> Any:
        self.left.append(asked["name"])
        self.asked = asked
        return SimpleNamespace(
            start=lambda: None, wait=lambda timeout: None, logs=lambda tail: self.said.encode(), image=image
        )

    def labels(self, *_words: str) -> dict[str, str]:
        return {}

    def remove_container(self, name: str) -> bool:
        self.left.remove(name)
        return True


RUNS = {"Status": "running", "ExitCode": 0}
GONE = {"Status": "exited", "ExitCode": 127}


def failing(engine: Any, error: HarnessError, *brought: str) -> HarnessError:
    with (
        pytest.raises(HarnessError) as caught,
        first_program(engine, {"application": "a", "database": "b"}, brought=frozenset(brought)),
    ):
        raise error
    return caught.value


CANNOT = InfrastructureError("creating harness-door-1: cannot join network of a non running container")


@pytest.mark.parametrize(("brought", "kind"), [("database", AttestationMismatch), ("application", ProvisionError)])
def test_a_first_program_that_ends_by_itself_is_the_error_and_not_what_fails_then(
    brought: str, kind: type[HarnessError]
) -> None:
    engine = Engines(RUNS, GONE, said="one\ntini: exec sleep failed: No such file\n")
    error = failing(engine, CANNOT, brought)
    assert type(error) is kind
    assert error.cause == ("config" if kind is AttestationMismatch else "infra")
    for words in ("database: its first program (sleep infinity) ended", "status 127", "exec sleep failed"):
        assert words in error.message
    assert error.__cause__ is CANNOT
    assert engine.left == []
    assert (engine.asked["network_mode"], engine.asked["cap_drop"]) == ("none", ["ALL"])


@pytest.mark.parametrize(
    "state",
    [
        RUNS,
        *({"Status": "exited", "ExitCode": code} for code in (137, 143, 255)),
        {**GONE, "OOMKilled": True},
        {"Status": "created", "ExitCode": 0},
        {"Status": "paused", "ExitCode": 0},
    ],
    ids=str,
)
def test_what_others_end_is_no_end_by_itself(state: dict[str, Any]) -> None:
    assert failing(Engines(RUNS, state), CANNOT, "application", "database") is CANNOT


def test_an_engine_that_is_away_hides_no_error() -> None:
    engine = Engines()
    del engine.client.api

    def away(name: str) -> None:
        raise OSError("no socket")

    engine.client.api = SimpleNamespace(inspect_container=away)
    assert failing(engine, CANNOT, "application") is CANNOT


class Image:
    def __init__(self, *files: str) -> None:
        self.files = files

    def get_archive(self, path: str) -> None:
        import docker.errors

        if path not in self.files:
            raise docker.errors.NotFound("no")


@pytest.mark.parametrize(
    ("there", "lacking"),
    [
        (("/bin/sh", "/usr/bin/sleep"), ""),
        (("/usr/bin/sh", "/bin/sleep"), ""),
        (("/bin/sh",), "sleep"),
        (("/usr/bin/sleep",), "sh"),
    ],
)
def test_an_image_needs_what_containers_are_started_with(there: tuple[str, ...], lacking: str) -> None:
    make: Callable[..., Any] = lambda *_words, **_more: Image(*there)  # noqa: E731
    engine: Any = SimpleNamespace(
        client=SimpleNamespace(containers=SimpleNamespace(create=make)),
        labels=lambda *_words: {},
        remove_container=lambda _name: True,
    )
    assert Engine._lacks(engine, "sha256:1") == lacking
