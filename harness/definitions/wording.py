"""Words of reports in both languages, from ``reports/wording.yaml``, which a center may edit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.errors import DefinitionError, Fault


@dataclass(frozen=True)
class Wording:
    """``wording(group, word)`` gives ``(zh, en)``."""

    words: dict[str, dict[str, tuple[str, str]]]

    @classmethod
    def read(cls, folder: Path) -> Wording:
        """Read ``wording.yaml``.

        Raises:
            DefinitionError: it is missing or not in shape.
        """
        path = folder / "wording.yaml"
        try:
            raw = yaml.safe_load(path.read_text(encoding="utf-8"))
            words = {g: {k: (str(v["zh"]), str(v["en"])) for k, v in group.items()} for g, group in raw.items()}
        except (OSError, yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
            raise DefinitionError([
                Fault(file=str(path), line=1, column=1, message=f"the wording cannot be read: {error}",
                      expected="groups of words, each {zh: …, en: …}")
            ]) from error  # fmt: skip
        return cls(words)

    def __call__(self, group: str, word: Any) -> tuple[str, str]:
        key = str(getattr(word, "value", word))
        return self.words.get(group, {}).get(key, (key, key))

    def zh(self, group: str, word: Any) -> str:
        return self(group, word)[0]

    def en(self, group: str, word: Any) -> str:
        return self(group, word)[1]

    def both(self, group: str, word: Any) -> str:
        zh, en = self(group, word)
        return zh if zh == en else f"{zh} {en}"
