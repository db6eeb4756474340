"""What a product is at fault for, as opposed to the lab."""

from __future__ import annotations


class ProductFault(Exception):
    """The product itself did not do what it must: an observation, not an error of the harness.

    ``zh`` and ``en`` say what happened; ``log`` is the tail of the product's own output.
    """

    def __init__(self, en: str, zh: str, log: str = "") -> None:
        super().__init__(f"{en} / {zh}")
        self.en, self.zh, self.log = en, zh, log
