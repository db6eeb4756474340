"""A fault of the product, as opposed to trouble of the laboratory."""

from __future__ import annotations


class ProductFault(Exception):
    """The product itself did not do what it must: an observation, not an error of the harness.

    ``zh`` and ``en`` say what happened; ``log`` is the tail of the product's own output. ``certain``: the laboratory
    cannot be the reason, so it is not asked whether it is well.
    """

    def __init__(self, en: str, zh: str, log: str = "", *, certain: bool = False) -> None:
        super().__init__(f"{en} / {zh}")
        self.en, self.zh, self.log, self.certain = en, zh, log, certain
