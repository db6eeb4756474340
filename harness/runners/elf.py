"""What an ELF file offers to the objects it loads."""

from __future__ import annotations

import io

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection


def exported_symbols(data: bytes) -> set[str]:
    """Names of the defined dynamic symbols of an ELF file; empty for anything else."""
    try:
        file = ELFFile(io.BytesIO(data))
        table = file.get_section_by_name(".dynsym")
        if not isinstance(table, SymbolTableSection):
            return set()
        return {symbol.name for symbol in table.iter_symbols() if symbol["st_shndx"] != "SHN_UNDEF"}
    except ELFError:
        return set()
