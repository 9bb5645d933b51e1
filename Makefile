# The two commands of the README, `make demo` and `make test`, set up all they need in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ifneq ($(wildcard ../shared/data),)
export TRUNKLINE_DATASETS ?= $(abspath ../shared/data)
endif
PROTOS := $(shell find protos -name '*.proto')

.PHONY: demo serve bench lint type test proto format manifests clean

# Serving needs no torch: these targets install the `cpu` extra alone.
$(VENV)/.serving: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[cpu]'
	touch $@

$(VENV)/.dev: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[cpu,train,kubernetes,http,dev]'
# It asks for an older protobuf than the one it works with, so pip must not look at what it asks for.
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps tritonclient==2.73.0
	touch $@ $(VENV)/.serving

demo: $(VENV)/.serving  ## start the service, ask it about real photographs, show the answers
	$(BIN)/trunkline demo --draw out/demo.png

serve: $(VENV)/.serving  ## keep the all-in-one service running
	$(BIN)/trunkline serve

bench: $(VENV)/.dev  ## bare ONNX Runtime, both forms and other servers, in one run
	$(BIN)/python -m benchmarks

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/buf lint

type: $(VENV)/.dev
	$(BIN)/mypy

test: $(VENV)/.dev
	$(BIN)/python -m pytest

proto: $(VENV)/.dev  ## generate services/trunkline/api from protos/
	$(BIN)/python -m grpc_tools.protoc -I protos $(PROTOS) \
	  --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
	  --python_out=services --grpc_python_out=services --mypy_out=quiet:services --mypy_grpc_out=quiet:services

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

manifests:  ## the manifests for those without Helm, and the chart's copies of alerts and dashboard; needs helm
	cp deploy/observability/alerts.yml deploy/observability/dashboard.json deploy/chart/files/
	PATH="$(CURDIR)/$(BIN):$$PATH" deploy/manifests/render.sh

clean:
	rm -rf $(VENV) out build dist .mypy_cache .ruff_cache .pytest_cache
