# Each target prepares what it needs and may be repeated. MIRROR=URI takes Debian packages from that mirror.
SHELL := /bin/sh
VENV := .venv
PYTHON ?= python3

.PHONY: setup test lint
setup:
	@sh setup/host.sh $(if $(MIRROR),--mirror '$(MIRROR)')

test: setup
	@sh setup/python.sh $(VENV)
	@$(VENV)/bin/tox

lint: setup
	@sh setup/python.sh $(VENV)
	@$(VENV)/bin/tox -e lint
