"""A product that serves OPC UA: its program, its points, and the library it needs, packed from this environment."""

from __future__ import annotations

import importlib.metadata
import tarfile
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

POINTS = """name,node,type,unit,range,access,expected,changes,history
设定值 1,s=SetPoint 1,Double,°C,0..100,rw,,,yes
"flow, main",s=Flow,Float,,1..10,,,0.5,
count,s=Count,UInt32,,,,123457,,
serial,s=Serial,String,,,,一号泵 P-7,,
pump,s=Pump,Boolean,,,rw,,,
label,s=Label,String,,,rw,,,
blob,s=Blob,ByteString,,,rw,,,
profile,s=Profile,Double[],,-5..5,rw,,,
words,s=Words,Int16[],,,,1|-2|3,,
step,s=Step,Byte,,0..255,rw,,,yes
energy,nsu=urn:example:二号线;i=7,Int64,,,,-1099511627776,,
"""
PLANT: dict[str, Any] = {
    "protocol": "opcua",
    "port": "field",
    "path": "/plant",
    "security": [
        {"policy": "None", "mode": "None"},
        {"policy": "Basic256Sha256", "mode": "SignAndEncrypt"},
    ],
    "users": [
        {"user": "line", "password": "{{ secrets.line }}"},
        {"user": "gauge 2", "password": "{{ secrets.gauge }}"},
    ],
    "anonymous": False,
    "namespace": "http://example.com/plant",
    "namespaces": ["urn:example:二号线"],
    "points": "points.csv",
    "notified": 1,
    "connections": 6,
}


def pack_library(path: Path, package: str = "asyncua") -> None:
    """Write an archive of an installed package and of all that it needs, as site-packages has them."""
    names: set[str] = set()
    _needed(package, names)
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name in sorted(names):
            for file in importlib.metadata.files(name) or ():
                if file.parts[0] != ".." and file.suffix != ".pyc":
                    archive.add(str(file.locate()), str(file))


def _needed(package: str, names: set[str]) -> None:
    if package in names:
        return
    names.add(package)
    for text in importlib.metadata.requires(package) or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            _needed(requirement.name, names)
