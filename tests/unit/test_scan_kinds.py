"""Kinds of files that people stumble over when they port, each beside one much like it that is well ported."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.finding import Finding, Targets
from harness.scan import printed, scan
from tests.elves import elf
from tests.inputs import tar
from tests.unit.test_scan_rules import RULES, TARGETS

ARM, LOONGSON, PHYTIUM, X86 = "kunpeng-920", "loongson-3a5000", "phytium-d2000", "x86-64"
ALL_CPUS = 'cpu": ["x64", "arm64", "loong64", "mips64el", "riscv64", "sw64"]'

#: File, its text, the rule that finds something in it, a target that is concerned, one that is not (or none).
BAD: Mapping[str, tuple[str, str, str, str, str]] = {
    # words that are never printed
    "case-arm64": (
        "get.sh",
        '#!/bin/sh\nARCH=$(uname -m)\ncase "$ARCH" in\n  x86_64) f=a ;;\n  arm64) f=b ;;\n  *) exit 1 ;;\nesac\n',
        "SRC-12",
        ARM,
        X86,
    ),
    "python-machine": (
        "pick.py",
        'import platform\nif platform.machine() == "arm64":\n    lib = "arm.so"\n',
        "SRC-12",
        ARM,
        LOONGSON,
    ),
    "cmake-loong64": (
        "CMakeLists.txt",
        'if(CMAKE_SYSTEM_PROCESSOR STREQUAL "loong64")\n  set(A 1)\nendif()\n',
        "SRC-12",
        LOONGSON,
        ARM,
    ),
    "node-aarch64": (
        "load.js",
        "const name = process.arch === 'aarch64' ? 'arm.node' : 'x.node';\n",
        "SRC-12",
        ARM,
        LOONGSON,
    ),
    "ifeq": ("Makefile", "M := $(shell uname -m)\nifeq ($(M),arm64)\nA := 1\nendif\n", "SRC-12", ARM, LOONGSON),
    "second-of-two": (
        "e.py",
        'import os\nm = os.uname().machine\nok = m in ("arm64", "loong64", "x86_64")\n',
        "SRC-12",
        LOONGSON,
        X86,
    ),
    "go-loongarch64": ("a/a.go", 'package a\n\nvar X = runtime.GOARCH == "loongarch64"\n', "SRC-12", LOONGSON, ARM),
    "java-arm64": (
        "Loader.java",
        'class L { boolean a = System.getProperty("os.arch").equals("arm64"); }\n',
        "SRC-12",
        ARM,
        LOONGSON,
    ),
    # a package manager that is put into a variable
    "yum-chosen": (
        "detect.sh",
        '#!/bin/sh\nid=$(. /etc/os-release; echo $ID)\n[ "$id" = uos ] && pm=yum\n$pm install -y chrony\n',
        "SRC-9",
        "deepin-23",
        "kylin-v10-sp3",
    ),
    "apt-chosen": ("i.sh", '#!/bin/sh\nPKG_MANAGER="apt-get"\n$PKG_MANAGER -y upgrade\n', "SRC-8", "kylin-v10-sp3", ""),
    # uname -p
    "backticks": ("env.sh", "#!/bin/sh\nif [ `uname -i` = aarch64 ]; then A=1; fi\n", "SRC-13", ARM, X86),
    "makefile": ("Makefile", "ARCH := $(shell uname -p)\n", "SRC-13", ARM, X86),
    "processor": ("x.py", "import platform\narch = platform.processor()\n", "SRC-13", LOONGSON, X86),
    # char
    "getopt-long": (
        "m.c",
        "int f(int n, char **v) {\n    int i = 0;\n    char c;\n    while (1) {\n"
        "        c = getopt_long(n, v, O, L, 0);\n"
        "        if (c == -1) { break; }\n    }\n    return i;\n}\n",
        "SRC-6",
        ARM,
        LOONGSON,
    ),
    "two-declared": (
        "r.c",
        "void f(FILE *in) {\n    char *p, line[80];\n    char last = 0, ch;\n    do {\n        p++;\n"
        "    } while (p);\n"
        "    while ((ch = getc(in)) != EOF) { last = ch; }\n}\n",
        "SRC-6",
        ARM,
        LOONGSON,
    ),
    "table": ("b64.c", "static const char decode[256] = { -1, -1, 62, -1 };\n", "SRC-6", ARM, X86),
    "parameter": ("p.c", "int f(char c)\n{\n    if (c < 0)\n        return 1;\n    return 0;\n}\n", "SRC-6", ARM, X86),
    "countdown": ("l.c", "void f(void) {\n  for (char i = 7; i >= 0; i--) { g(i); }\n}\n", "SRC-6", ARM, X86),
    # targets of compilers
    "march-arm": ("Makefile", "CFLAGS += -O3 -march=armv8.1-a\n", "BLD-1", PHYTIUM, ARM),
    "mcpu-n1": ("meson.build", "add_project_arguments('-mcpu=neoverse-n1', language: 'c')\n", "BLD-1", PHYTIUM, ARM),
    "sve": ("Makefile", "CFLAGS += -march=armv8-a+sve\n", "BLD-1", ARM, LOONGSON),
    "rust-native": (
        "app/.cargo/config.toml",
        '[build]\nrustflags = ["-C", "target-cpu=native"]\n',
        "BLD-1",
        PHYTIUM,
        "",
    ),
    "docker-goarm64": ("Dockerfile", "FROM golang:1.23\nENV GOARM64=v8.1,lse\nRUN go build\n", "BLD-1", PHYTIUM, ARM),
    "la664": ("Makefile", "CFLAGS += -march=la664\n", "BLD-1", LOONGSON, "loongson-3a6000"),
    "avx512": ("Makefile", "CFLAGS += -mavx512f\n", "BLD-1", "hygon-c86", ARM),
    "bazel": (".bazelrc", "build --copt=-march=armv8.2-a\n", "BLD-1", PHYTIUM, ARM),
    "arm32-options": ("Makefile", "ifeq ($(ARCH),aarch64)\nCFLAGS += -mfpu=neon\nendif\n", "BLD-3", ARM, X86),
    "qt-spec": ("build.sh", "#!/bin/sh\nqmake -spec linux-g++-64 app.pro\n", "SRC-2", ARM, X86),
    # page sizes
    "docker-lg-page": ("Dockerfile", "FROM rust\nENV JEMALLOC_SYS_WITH_LG_PAGE=14\n", "PAGE-6", "kylin-v10-sp3", ""),
    "linker": ("Makefile", "LDFLAGS += -Wl,-z,max-page-size=4096\n", "PAGE-6", "kylin-v10-sp3", "debian-12"),
    "rust-page": ("p.rs", "const PAGE_SIZE: usize = 4096;\n", "SRC-11", ARM, X86),
    "stack": ("conf/jvm.options", "-Xss228k\n", "JVM-2", "kylin-v10-sp3", "debian-12"),
    "avx-jvm": ("bin/setenv.sh", '#!/bin/sh\nJAVA_OPTS="$JAVA_OPTS -XX:UseAVX=0"\n', "JVM-1", LOONGSON, X86),
    # chains
    "no-default": (
        "sys.h",
        "#if defined(__x86_64__)\n#define NR_X 1\n#elif defined(__aarch64__)\n#define NR_X 2\n"
        "#elif defined(__mips__)\n"
        "#define NR_X 3\n#endif\n",
        "SRC-14",
        LOONGSON,
        ARM,
    ),
    "silent-default": (
        "pause.h",
        '#if defined(__aarch64__)\n#define P() __asm__("yield")\n#else /* x86 */\n#define P() _mm_pause()\n'
        "static inline int f(void) { return _mm_x(1); }\n#endif\n",
        "SRC-14",
        LOONGSON,
        X86,
    ),
    "one-more-system": (
        "detect.h",
        "#if defined(_WIN32)\n#define P 1\n#elif defined(__linux__) && defined(__x86_64__)\n#define P 2\n"
        "#elif defined(__linux__) && defined(__aarch64__)\n#define P 3\n#else\n#error none\n#endif\n",
        "SRC-14",
        LOONGSON,
        ARM,
    ),
    "register": (
        "pc.h",
        "#ifdef __aarch64__\n#define PC(u) (u)->pc\n#else\n#define PC(u) (u)->gregs[REG_RIP]\n#endif\n",
        "SRC-14",
        LOONGSON,
        X86,
    ),
    "negated": (
        "only.h",
        "#if !defined(__x86_64__) && !defined(__aarch64__)\n#error only these two\n#endif\n",
        "SRC-14",
        LOONGSON,
        ARM,
    ),
    # Go
    "tagged": (
        "hash/hash_amd64.go",
        "package hash\n\nfunc sum(p []byte) int { return 1 }\n",
        "GO-1",
        ARM,
        X86,
    ),
    # containers and clusters
    "kubernetes": (
        "deploy.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nspec:\n  template:\n    spec:\n      nodeSelector:\n"
        "        kubernetes.io/arch: amd64\n",
        "SRC-1",
        ARM,
        X86,
    ),
    "helm-image": ("chart/values.yaml", "image: registry.example/app-arm64:1.0\n", "SRC-17", X86, ARM),
    "compose-arm": (
        "docker-compose.yml",
        "services:\n  web:\n    image: web:1\n    platform: linux/arm64\n",
        "SRC-17",
        LOONGSON,
        ARM,
    ),
    "unit": ("app.service", "[Unit]\nConditionArchitecture=x86-64\n[Service]\nExecStart=/opt/app\n", "SRC-1", ARM, X86),
    # npm, Electron
    "pnpm": (
        "package.json",
        '{"name": "a", "pnpm": {"supportedArchitectures": {"cpu": ["x64", "arm64"]}}}\n',
        "LIB-2",
        LOONGSON,
        ARM,
    ),
    "script": (
        "package.json",
        '{"name": "a", "scripts": {"dist": "electron-builder --linux deb --x64"}}\n',
        "LIB-2",
        ARM,
        X86,
    ),
    "builder-yml": (
        "electron-builder.yml",
        "linux:\n  target:\n    - target: deb\n      arch: [x64]\n",
        "SRC-1",
        ARM,
        X86,
    ),
    "builder-list": (
        "electron-builder.yml",
        "linux:\n  target:\n    - target: deb\n      arch:\n        - x64\n",
        "SRC-1",
        ARM,
        X86,
    ),
    "forge": ("forge.config.js", "module.exports = { packagerConfig: { arch: 'x64' } };\n", "SRC-1", ARM, X86),
    "npmrc": (".npmrc", "target_arch=x64\n", "SRC-1", ARM, X86),
    "yarn-lock": (
        "yarn.lock",
        '# yarn lockfile v1\n\nnode-sass@^4.14.1:\n  version "4.14.1"\n  resolved "https://r.example/x"\n',
        "LIB-1",
        ARM,
        X86,
    ),
    "pnpm-lock": (
        "pnpm-lock.yaml",
        "lockfileVersion: '9.0'\n\npackages:\n\n  node-sass@4.14.1:\n    resolution: {integrity: x}\n",
        "LIB-1",
        ARM,
        X86,
    ),
    # Python
    "poetry-lock": (
        "poetry.lock",
        '[[package]]\nname = "fastlib"\nversion = "1.0"\nfiles = [\n'
        '    {file = "fastlib-1.0-cp311-cp311-manylinux_2_17_x86_64.whl", hash = "x"},\n'
        '    {file = "fastlib-1.0-cp311-cp311-manylinux_2_17_aarch64.whl", hash = "x"},\n]\n',
        "LIB-3",
        LOONGSON,
        ARM,
    ),
    "pyproject": (
        "pyproject.toml",
        '[project]\nname = "a"\ndependencies = ["grpcio==1.30.0"]\n',
        "LIB-1",
        ARM,
        X86,
    ),
    "setup-py": ("setup.py", "setup(name='x', install_requires=['grpcio==1.30.0'])\n", "LIB-1", ARM, X86),
    "packer-json": ("electron-builder.json", '{"linux": {"target": ["deb"], "arch": ["x64"]}}\n', "LIB-2", ARM, X86),
    "cibuildwheel": ("pyproject.toml", '[tool.cibuildwheel.linux]\narchs = ["x86_64"]\n', "LIB-2", ARM, X86),
    "platform-wheel": (
        "requirements.txt",
        "https://files.example/x-1.0-cp39-cp39-linux_x86_64.whl\n",
        "SRC-1",
        ARM,
        X86,
    ),
    # Java
    "gradle": (
        "build.gradle",
        "dependencies {\n  implementation 'net.java.dev.jna:jna:5.6.0'\n}\n",
        "LIB-1",
        LOONGSON,
        ARM,
    ),
    "gradle-kts": ("build.gradle.kts", 'implementation("org.xerial:sqlite-jdbc:3.42.0.0")\n', "LIB-1", LOONGSON, ARM),
    "catalog": (
        "gradle/libs.versions.toml",
        '[versions]\njna = "5.6.0"\n[libraries]\njna = { module = "net.java.dev.jna:jna", version.ref = "jna" }\n',
        "LIB-1",
        LOONGSON,
        ARM,
    ),
    "property": (
        "pom.xml",
        "<project><properties><jna.version>5.6.0</jna.version></properties><dependencies><dependency>\n"
        "<groupId>net.java.dev.jna</groupId><artifactId>jna</artifactId><version>${jna.version}</version>\n"
        "</dependency></dependencies></project>\n",
        "LIB-1",
        LOONGSON,
        ARM,
    ),
    "flyway": (
        "build.gradle",
        "implementation 'org.flywaydb:flyway-core:7.15.0'\n",
        "LIB-1",
        "dameng-dm8",
        "postgresql",
    ),
    # Rust, Go, C and C++
    "cargo-lock": ("Cargo.lock", '[[package]]\nname = "ring"\nversion = "0.16.20"\n', "LIB-1", LOONGSON, ARM),
    "cargo-toml": ("Cargo.toml", '[dependencies]\nring = { version = "0.16" }\n', "LIB-1", LOONGSON, ARM),
    "cargo-target": ("r/.cargo/config.toml", '[build]\ntarget = "x86_64-unknown-linux-gnu"\n', "LIB-2", ARM, X86),
    "go-mod": ("go.mod", "module a\n\nrequire github.com/boltdb/bolt v1.3.1\n", "LIB-1", LOONGSON, ARM),
    "conan": ("conanfile.txt", "[requires]\nluajit/2.1.0-beta3\n", "LIB-1", LOONGSON, ARM),
    "conan-py": ("conanfile.py", 'class A:\n    requires = "libffi/3.4.2@"\n', "LIB-1", LOONGSON, ARM),
    "vcpkg": ("vcpkg.json", '{"dependencies": [{"name": "libffi", "version>=": "3.3"}]}\n', "LIB-1", LOONGSON, ARM),
    "triplet": ("x64.cmake", "set(VCPKG_TARGET_ARCHITECTURE x64)\n", "SRC-1", ARM, X86),
    "config-guess": (
        "build-aux/config.guess",
        "#! /bin/sh\ntimestamp='2012-12-30'\n  aarch64:Linux:*:*)\n  x86_64:Linux:*:*)\n",
        "BLD-4",
        LOONGSON,
        ARM,
    ),
    "assembly": ("src/copy.s", "copy:\n\tmovq %rsi, %rax\n\tret\n", "SRC-15", ARM, X86),
    "nasm": ("src/copy.asm", "section .text\ncopy:\n  mov rax, rsi\n  ret\n", "SRC-15", LOONGSON, X86),
    "debian-control": (
        "debian/control",
        "Source: app\n\nPackage: app\nArchitecture: amd64\nDescription: x\n",
        "LIB-2",
        ARM,
        X86,
    ),
    "nsis": ("setup.nsi", 'File "bin\\linux-x64\\agent"\n', "SRC-1", ARM, X86),
    # systems and their packages
    "select": (
        "setup.sh",
        '#!/bin/bash\n. /etc/os-release\nif [[ "$ID" == "ubuntu" || "$ID" == "debian" ]]; then apt-get install -y x; '
        'elif [[ "$ID" =~ ^(centos|rhel)$ ]]; then yum install -y x; fi\n',
        "SRC-7",
        "kylin-v10-sp3",
        "debian-12",
    ),
    "go-distro": (
        "d/d.go",
        'package d\n\nvar ok = osID == "centos" || OS_ID == "ubuntu"\n',
        "SRC-7",
        "openeuler-22.03",
        "",
    ),
    "any-variable": (
        "i.sh",
        '#!/bin/bash\nif [ "$OS_TYPE" = "centos" ]; then A=1; fi\n'
        'if [[ `lsb_release -is` == "Ubuntu" ]]; then A=2; fi\n',
        "SRC-7",
        "kylin-v10-sp3",
        "",
    ),
    "in-a-list": ("i.py", 'if name.lower() in ["centos linux", "ubuntu"]:\n    a = 1\n', "SRC-7", "uos-server-20", ""),
    "without-anolis": (
        "chain.sh",
        '#!/bin/sh\ncase "$ID" in\n  centos|kylin|openeuler|uos) yum install -y x ;;\n  *) exit 1 ;;\nesac\n',
        "SRC-7",
        "anolis-8",
        "kylin-v10-sp3",
    ),
    "ansible-apt": (
        "tasks/main.yml",
        "- name: x\n  ansible.builtin.apt:\n    name: chrony\n",
        "SRC-8",
        "kylin-v10-sp3",
        "",
    ),
}

GOOD: Mapping[str, dict[str, str]] = {
    "package-name": {
        "convert-usrmerge.pl": "#!/usr/bin/perl\ndie 'The libc6-i386 and libc6-x32 packages require it';\n"
    },
    "all-words": {
        "get.sh": "#!/bin/sh\ncase $(uname -m) in\n  x86_64|amd64) f=a ;;\n  aarch64|arm64) f=b ;;\n"
        "  loongarch64|loong64) f=c ;;\n  mips64|sw_64|riscv64) f=d ;;\nesac\n"
    },
    "dpkg-words": {
        "get.sh": "#!/bin/sh\ncase $(dpkg --print-architecture) in\n  arm64) f=b ;;\n  loong64) f=c ;;\nesac\n",
    },
    "falls-back": {
        "env.sh": '#!/bin/sh\nA=$(uname -p)\nif [ "$A" = unknown ]; then A=$(uname -m); fi\n',
        "one.sh": "#!/bin/sh\nA=$(uname -p 2>/dev/null || uname -m)\n",
    },
    "int-and-signed": {
        "m.c": "int f(int n, char **v) {\n    char *name;\n    int c;\n"
        "    while ((c = getopt(n, v, O)) != -1) { }\n    return 0;\n}\n"
        "signed char d[] = { -1, 2 };\nstatic const char *s = \"-1\";\nchar x = '-';\nchar y[] = {'a', '-', '1'};\n"
        "int g(char *p) { return *p == 0; }\n"
    },
    "char-then-int": {
        "r.c": "void a(void) {\n    char c;\n    c = 1;\n}\nvoid b(FILE *in) {\n    int c;\n"
        "    while ((c = getc(in)) != EOF) { }\n}\n"
    },
    "baseline": {
        "Makefile": "CFLAGS += -O2 -march=armv8-a -moutline-atomics\n",
        "b.sh": "#!/bin/sh\nexport GOARM64=v8.0\n",
    },
    "dispatched": {
        "CMakeLists.txt": "set_source_files_properties(sum_sve.c PROPERTIES COMPILE_FLAGS -march=armv8-a+sve)\n"
        'check_c_compiler_flag("-mavx2" HAVE_AVX2)\n',
        "Makefile": "sum_dotprod.o: CFLAGS += -march=armv8.2-a+dotprod\n",
    },
    "asks-pages": {
        "p.c": "#include <unistd.h>\nlong page_size = 4096;\nvoid f(void) { page_size = sysconf(_SC_PAGESIZE); }\n",
        "jemalloc.cmake": "set(A --with-lg-page=16)\n",
        "ui.c": "int rows_of_page = 12;\n",
    },
    "fast-path": {
        "f.h": "#if defined(__x86_64__)\n#define HAVE_FAST 1\n#endif\n"
        "#if defined(__SSE2__) || defined(__aarch64__)\nint fast(void);\n"
        "#else\nint plain(void);\n#endif\n",
        "word.h": "#if defined(__x86_64__) || __SIZEOF_POINTER__ == 8\n#define BITS 64\n#else\n"
        "#define BITS 32\n#endif\n",
        "all.h": "#if defined(__x86_64__)\n#define N 1\n#elif defined(__aarch64__)\n#define N 2\n"
        "#elif defined(__loongarch__)\n#define N 3\n"
        "#elif defined(__mips__) || defined(__riscv) || defined(__sw_64__)\n#define N 4\n#else\n#error none\n"
        "#endif\n",
        "win.h": "#ifdef _MSC_VER\n#if defined(_M_X64)\n#define Q 1\n#else\n#error none\n#endif\n#endif\n",
    },
    "go-generic": {
        "h/hash_amd64.go": "package h\n\nfunc sum(p []byte) int { return 1 }\n",
        "h/hash_other.go": "//go:build !amd64\n\npackage h\n\nfunc sum(p []byte) int { return 2 }\n",
        "h/use.go": "package h\n\nfunc Use() int { return sum(nil) }\n",
        "w/w_windows.go": "package w\n\nfunc W() {}\n",
        "l/l.go": 'package l\n\nimport _ "unsafe"\n\n//go:linkname nano runtime.nanotime\nfunc nano() int64\n',
    },
    "several-images": {
        "Dockerfile": "FROM --platform=$BUILDPLATFORM golang:1.23\nARG TARGETARCH\nRUN GOARCH=$TARGETARCH go build\n",
        "deploy.yaml": "kind: Deployment\nspec:\n  nodeSelector:\n    kubernetes.io/os: linux\n",
        "build.sh": "#!/bin/sh\n"
        "docker buildx build --platform linux/amd64,linux/arm64,linux/loong64,linux/riscv64 .  # mips64 sw_64\n",
    },
    "npm-optional": {
        "package.json": json.dumps(
            {"name": "a", "version": "1.0.0", "optionalDependencies": {"@img/sharp-linux-x64": "^0.33.5"}}
        ),
        "package-lock.json": json.dumps(
            {"packages": {"node_modules/@esbuild/linux-x64": {"version": "1.0.0", "cpu": ["x64"], "optional": True}}}
        ),
        "b/package.json": '{"name": "b", "version": "1.0.0", "' + ALL_CPUS + "}",
    },
    "ranges": {
        "Cargo.toml": '[dependencies]\nlibc = "0.2"\nring = "0.17.5"\n',
        "pyproject.toml": '[project]\nname = "a"\ndependencies = ["scipy>=1.0; platform_machine == \'x86_64\'"]\n',
    },
    "wheels": {
        "poetry.lock": '[[package]]\nname = "p"\nversion = "1.0"\n'
        'files = [{file = "p-1.0-py3-none-any.whl", hash = "x"}]\n',
        "requirements.txt": "requests==2.31.0\n# numpy==1.10\nflask>=2,<3\n",
    },
    "current-java": {
        "pom.xml": "<project><dependencies><dependency><groupId>net.java.dev.jna</groupId><artifactId>jna</artifactId>"
        "<version>5.12.1</version></dependency></dependencies></project>\n",
        "jvm.options": "-Xss1m\n-XX:+UseG1GC\n",
    },
    "current-config": {
        "config.guess": "#! /bin/sh\ntimestamp='2023-08-22'\n aarch64:Linux:*:*) x86_64:Linux:*:*)\n"
        " loongarch64:Linux:*:*)\n"
        " mips64el sw_64:Linux riscv64:Linux\n"
    },
    "chooses": {
        "a.sh": "#!/bin/sh\nif command -v dnf >/dev/null; then dnf install -y x\n"
        "elif command -v yum >/dev/null; then yum install -y x\n"
        "elif command -v apt-get >/dev/null; then apt-get install -y x\nfi\n",
        "b.sh": '#!/bin/sh\n. /etc/os-release\ncase "$ID" in\n  debian|deepin|uos) apt-get install -y x ;;\n'
        "  centos|kylin|openEuler|anolis|Loongnix) yum install -y x ;;\nesac\n",
        "tasks.yml": "- ansible.builtin.package:\n    name: chrony\n",
        ".github/workflows/ci.yml": "jobs:\n  a:\n    steps:\n      - run: sudo apt-get install -y x86_64-thing\n",
    },
    "assembly-of-each": {
        "x86_64/copy.S": "copy:\n\tmovq %rsi, %rax\n",
        "aarch64/copy.S": "copy:\n\tldr x0, [x1]\n",
    },
    "family": {"t.yml": "- include_tasks: rpm.yml\n  when: ansible_os_family == 'RedHat'\n"},
    "databases": {"db.sh": '#!/bin/sh\ncase "$DB" in\n  oracle) a=1 ;;\n  mysql) a=2 ;;\nesac\n'},
    "mac": {
        "CMakeLists.txt": 'if(APPLE)\n  if(CMAKE_SYSTEM_PROCESSOR STREQUAL "arm64")\n    set(A 1)\n  endif()\nendif()\n'
    },
    "of-x86-itself": {
        "asm/context.h": "#ifdef __i386__\nstruct a;\n#else /* __x86_64__ */\nstruct b;\n#endif\n",
        "platform/guard.h": "#ifndef _PLATFORM_X86_H\n# error include the other\n#endif\n",
    },
    "assigned": {"d.py": 'dist = "Debian"\n', "sparc.mk": "CFLAGS += -mcpu=v9\n"},
    "linked-from-elsewhere": {
        "r/r.go": "package r\n\nfunc pin() int\n\nfunc add(a int) int\n",
        "r/add_amd64.s": "TEXT \u00b7add(SB), 4, $0-16\n\tRET\n",
        "r/add_arm64.s": "TEXT \u00b7add(SB), 4, $0-16\n\tRET\n",
        "r/add_loong64.s": "TEXT \u00b7add(SB), 4, $0-16\n\tRET\n",
        "r/add_rest.s": "//go:build mips64le || riscv64\n\nTEXT \u00b7add(SB), 4, $0-16\n\tRET\n",
    },
    "debian-any": {"debian/control": "Source: a\n\nPackage: a\nArchitecture: any\n"},
}


def _places(findings: tuple[Finding, ...], folder: Path) -> list[Finding]:
    return [each for each in findings if each.file.startswith(f"{folder}/") and each.severity != "info"]


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Finding, ...]]:
    """One scan of all of them, each in a folder of its own."""
    root = tmp_path_factory.mktemp("kinds")
    for name, (file, text, *_) in BAD.items():
        _write(root / "bad" / name / file, text)
    for name, files in GOOD.items():
        for file, text in files.items():
            _write(root / "good" / name / file, text)
    return root, scan([root], RULES, TARGETS).findings


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_ported_is_a_warning(name: str, scanned: tuple[Path, tuple[Finding, ...]]) -> None:
    root, findings = scanned
    _, _, rule, concerned, other = BAD[name]
    places = [each for each in _places(findings, root / "bad" / name) if each.rule == rule]
    assert places, [str(each) for each in _places(findings, root / "bad" / name)]
    names = {target.name for each in places for target in each.targets}
    assert concerned in names
    assert other not in names


@pytest.mark.parametrize("name", GOOD)
def test_what_is_ported_is_silent(name: str, scanned: tuple[Path, tuple[Finding, ...]]) -> None:
    root, findings = scanned
    known = {"loongnix-20"}  # whose os-release nobody gave us
    loud = [
        f"{each.rule} {each.where} {each.message}"
        for each in _places(findings, root / "good" / name)
        if {target.name for target in each.targets} - known
    ]
    assert loud == []


def test_one_place_is_told_once(scanned: tuple[Path, tuple[Finding, ...]]) -> None:
    _, findings = scanned
    places = [(each.rule, each.where) for each in findings]
    assert len(places) == len(set(places))


def test_a_setting_elsewhere_eases_what_it_sets(tmp_path: Path) -> None:
    """The advice of a rule, followed in the build file, leaves a note."""
    _write(tmp_path / "Cargo.toml", '[dependencies]\ntikv-jemallocator = "0.5"\n')
    _write(tmp_path / "src" / "a.c", "char c = getchar();\n")
    severities = {each.rule: each.severity for each in scan([tmp_path], RULES, TARGETS).findings}
    assert (severities["PAGE-7"], severities["SRC-6"]) == ("warning", "warning")
    _write(tmp_path / "Dockerfile", "FROM rust\nENV JEMALLOC_SYS_WITH_LG_PAGE=16\n")
    _write(tmp_path / "Makefile", "CFLAGS += -fsigned-char\n")
    eased = scan([tmp_path], RULES, TARGETS).findings
    assert {each.rule: each.severity for each in eased} == {"PAGE-7": "info", "SRC-6": "info"}
    assert any("Makefile line 1 sets -fsigned-char" in each.message for each in eased)


def test_pages_concern_cpus_where_no_system_is_declared(tmp_path: Path) -> None:
    _write(tmp_path / "build.sh", "#!/bin/sh\n./configure --with-lg-page=12\n")
    cpus = {name: cpu for name, cpu in TARGETS.cpus.items() if name in (ARM, X86)}
    (place,) = [each for each in scan([tmp_path], RULES, Targets(cpus=cpus)).findings if each.rule == "PAGE-6"]
    assert [str(target) for target in place.targets] == [f"cpu:{ARM}"]


def test_a_program_for_musl(tmp_path: Path) -> None:
    program = elf(machine="aarch64", kind="executable", interpreter="/lib/ld-musl-aarch64.so.1")
    library = elf(machine="aarch64", kind="shared", needed=["libc.musl-aarch64.so.1"])
    for name, content in {
        "a/tool": program,
        "b/plugin.so": library,
        "static/tool": elf(machine="aarch64", kind="executable"),
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    places = [each for each in scan([tmp_path], RULES, TARGETS).findings if each.rule == "LIBC-3"]
    assert {(Path(each.file).name, each.severity) for each in places} == {("tool", "blocker"), ("plugin.so", "blocker")}
    assert all(target.architecture == "aarch64" for each in places for target in each.targets)


def test_a_variant_that_is_named_for_musl_is_chosen_by_its_name(tmp_path: Path) -> None:
    library = elf(machine="aarch64", kind="shared", needed=["libc.musl-aarch64.so.1"])
    program = elf(machine="aarch64", kind="executable", interpreter="/lib/ld-musl-aarch64.so.1")
    for name, content in {"prebuilds/linux-arm64/a.musl.node": library, "tool-linux-musl-arm64": program}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    places = [each for each in scan([tmp_path], RULES, TARGETS).findings if each.rule == "LIBC-3"]
    assert {(Path(each.file).name, each.severity) for each in places} == {
        ("a.musl.node", "info"),
        ("tool-linux-musl-arm64", "warning"),
    }


def test_a_package_that_brings_musl(tmp_path: Path) -> None:
    program = elf(machine="aarch64", kind="executable", interpreter="/lib/ld-musl-aarch64.so.1")
    (tmp_path / "image.tar").write_bytes(
        tar([("lib/ld-musl-aarch64.so.1", elf(machine="aarch64", kind="shared")), ("usr/bin/tool", program)])
    )
    assert not [each for each in scan([tmp_path], RULES, TARGETS).findings if each.rule == "LIBC-3"]


@pytest.mark.parametrize(
    ("rule", "pattern"),
    [(rule.id, pattern) for rule in RULES if "needs" in rule.parameters for pattern in rule.parameters["patterns"]],
)
@given(data=st.data())
def test_no_text_that_a_pattern_matches_lacks_the_words_that_it_needs(
    rule: str, pattern: str, data: st.DataObject
) -> None:
    """A text without these words is not searched at all."""
    text = data.draw(st.from_regex(re.compile(pattern, re.MULTILINE)))
    needs = next(each for each in RULES if each.id == rule).parameters["needs"]
    assert any(word in text.lower() for word in needs), text


@pytest.mark.parametrize("source", printed.SOURCES, ids=lambda source: source.name)
@given(data=st.data())
def test_no_text_that_asks_for_an_architecture_lacks_the_words_that_are_looked_for_first(
    source: Any, data: st.DataObject
) -> None:
    text = data.draw(st.from_regex(source.asks))
    assert any(word in text for word in printed._ASKING), text
