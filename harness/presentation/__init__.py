"""How reports look and speak: templates, wording, issuer profiles, from ``reports/`` folders laid over each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from harness.errors import DefinitionError, Fault
from harness.model.definitions import WordingFile
from harness.reading.catalogue import Catalogue
from harness.reading.parsing import parse
from harness.system.printable import visible


@dataclass(frozen=True)
class Wording:
    """``wording(group, word)`` gives ``(zh, en)``; a word that is not listed stands for itself."""

    words: dict[str, dict[str, tuple[str, str]]]

    def __call__(self, group: str, word: Any) -> tuple[str, str]:
        key = str(getattr(word, "value", word))
        return self.words.get(group, {}).get(key, (key, key))

    def zh(self, group: str, word: Any) -> str:
        """The Chinese text of a word."""
        return self(group, word)[0]

    def en(self, group: str, word: Any) -> str:
        """The English text of a word."""
        return self(group, word)[1]

    def sentence(self, group: str, word: str, **values: Any) -> dict[str, str]:
        """Both languages of a sentence, with ``values`` in the place of the words in braces.

        Raises:
            DefinitionError: it names a word that is not among the values.
        """
        try:
            zh, en = (text.format(**values) for text in self(group, word))
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise DefinitionError(
                [
                    Fault(
                        file="wording.yaml",
                        line=1,
                        column=1,
                        message=f"{group}.{word} cannot be filled in: {error}",
                        expected=f"words in braces among {', '.join(values) or 'none'}",
                    )
                ]
            ) from error
        return {"zh": zh, "en": en}

    def pair(self, group: str, word: Any) -> dict[str, str]:
        """Both texts of a word, under ``zh`` and ``en``."""
        zh, en = self(group, word)
        return {"zh": zh, "en": en}

    def both(self, group: str, word: Any) -> str:
        """Both texts of a word on one line, or one where they are the same."""
        zh, en = self(group, word)
        return zh if zh == en else f"{zh} {en}"


@dataclass(frozen=True)
class Presentation:
    """``folders`` in the order of preference: a center's own files win over those that are shipped."""

    folders: tuple[Path, ...]

    @classmethod
    def standard(cls, catalogue: Catalogue | None = None) -> Presentation:
        """The folders ``reports`` of a catalogue; without one, what is shipped."""
        return cls(tuple(root / "reports" for root in (catalogue or Catalogue.standard()).roots))

    def path(self, name: str) -> Path:
        """The file ``name``.

        Raises:
            DefinitionError: no folder has it.
        """
        for folder in self.folders:
            if (folder / name).is_file():
                return folder / name
        raise DefinitionError(
            [
                Fault(
                    file=str(self.folders[0] / name),
                    line=1,
                    column=1,
                    message="no such file",
                    expected=f"a file in one of {', '.join(map(str, self.folders))}",
                )
            ]
        )

    def wording(self) -> Wording:
        """The words of every ``wording.yaml``: a center's file needs only those that it changes.

        Raises:
            DefinitionError: no ``wording.yaml`` exists, or the content of one is not valid.
        """
        self.path("wording.yaml")
        known: dict[str, dict[str, tuple[str, str]]] = {}
        for folder in reversed(self.folders):
            if (path := folder / "wording.yaml").is_file():
                for group, words in parse(path, WordingFile).root.items():
                    known.setdefault(group, {}).update({word: (text.zh, text.en) for word, text in words.items()})
        return Wording(known)

    def render(self, template: str, **values: Any) -> str:
        """Render a template; ``w`` is the wording.

        Raises:
            DefinitionError: the template is missing or faulty.
        """
        environment = SandboxedEnvironment(
            loader=jinja2.FileSystemLoader(self.folders),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters["moment"] = lambda text: text[:19].replace("T", " ")
        path = self.path(template)
        try:
            return environment.get_template(template).render(w=self.wording(), **visible(values))
        except jinja2.TemplateError as error:
            line = getattr(error, "lineno", None) or 1
            raise DefinitionError(
                [Fault(file=str(path), line=line, column=1, message=f"template fault: {error.message or error}")]
            ) from error
