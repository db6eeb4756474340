# Each target prepares what it needs and may be repeated.
#   make demo   from nothing to a certificate: sets this machine up, then runs matrices/powerdns
#   make java-web   builds the WAR of matrices/java-web, an example; harness run matrices/java-web then tests it
#   make center   a center on this machine for trying: PostgreSQL, a sweeper, two workers, two campaigns; make center-down
#   make test   everything that .ci/run runs
#   make lock   writes the locks of setup/ anew (needs uv); UPGRADE=--upgrade takes the newest versions
#   make release  wheel, sdist (built twice, compared), SBOM and checksums in dist/; asks for known vulnerabilities
# MIRROR=URI takes Debian packages from that mirror instead of the one this machine's apt uses.
SHELL := /bin/sh
VENV := .venv
PYTHON ?= python3
export PYTHON
SUDO := $(shell docker version >/dev/null 2>&1 || [ "$$(id -u)" = 0 ] || echo sudo)
MIRRORED := $(if $(MIRROR),--mirror '$(MIRROR)')

.PHONY: setup demo java-web center center-down test lint bench docs lock release
setup:
	@sh setup/host.sh $(MIRRORED)
	@sh setup/python.sh $(VENV)

demo: setup
	@$(SUDO) $(VENV)/bin/harness run matrices/powerdns $(MIRRORED)

java-web: setup
	@sh setup/host.sh --java $(MIRRORED)
	@sh matrices/java-web/build.sh

center: setup
	@sh setup/host.sh --center $(MIRRORED)
	@$(SUDO) sh setup/center.sh up

center-down:
	@$(SUDO) sh setup/center.sh down

test:
	@sh setup/host.sh --tests $(MIRRORED)
	@sh setup/python.sh $(VENV)
	@$(SUDO) rm -f .tox/*/failures.txt
	@$(SUDO) env HARNESS_MIRROR='$(MIRROR)' $(VENV)/bin/tox run-parallel --parallel 3 || { cat .tox/*/failures.txt 2>/dev/null; exit 1; }

lint: setup
	@$(VENV)/bin/tox -e lint

bench:
	@sh setup/host.sh --tests $(MIRRORED)
	@sh setup/python.sh $(VENV)
	@$(SUDO) $(VENV)/bin/tox -e bench

docs: setup
	@$(VENV)/bin/tox -e docs

lock:
	@sh setup/lock.sh $(UPGRADE)

release: setup
	@$(VENV)/bin/tox -e release
