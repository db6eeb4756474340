"""What an image says of itself: its configuration (OCI image specification, config.md)."""

from __future__ import annotations

from harness.system.canonical import read_json

#: ``GOARCH`` of an image's configuration -> as ``uname -m`` prints it.
GOARCH = {
    "amd64": "x86_64",
    "arm64": "aarch64",
    "loong64": "loongarch64",
    "386": "i386",
    "arm": "arm",
    "riscv64": "riscv64",
    "mips64le": "mips64",
    "ppc64le": "ppc64",
    "s390x": "s390",
}


def image_architecture(text: str) -> str | None:
    """The architecture that the configuration of an image names; None where a text is no such configuration."""
    if not text.startswith("{") or '"rootfs"' not in text or '"architecture"' not in text:
        return None
    try:
        value = read_json(text)
    except ValueError:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("rootfs"), dict):
        return None
    architecture = str(value.get("architecture", ""))
    return GOARCH.get(architecture, architecture) or None
