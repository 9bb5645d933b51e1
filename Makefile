# The two commands of the README, `make demo` and `make test`, set up all they need in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ifneq ($(wildcard ../shared/data),)
export TRUNKLINE_DATASETS ?= $(abspath ../shared/data)
endif
# Not protos/google: Python has its messages from googleapis-common-protos.
PROTOS := $(shell find protos/trunkline -name '*.proto')

# Container images: deploy/images/README.md says what the variables are for.
ENGINE ?= podman
BASE ?= python:3.12-slim-bookworm
IMAGE ?= trunkline
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
SOURCE ?=
IMAGE_FLAGS ?=
GPU_PACKAGES ?= onnxruntime-gpu[cuda,cudnn]
TRAINING_PACKAGES ?=
BUILD = $(ENGINE) build $(if $(findstring podman,$(ENGINE)),--ignorefile deploy/images/Containerfile.dockerignore) \
  --file deploy/images/Containerfile --build-arg BASE=$(BASE) --build-arg VERSION=$(VERSION) \
  --build-arg REVISION=$(shell git rev-parse HEAD 2>/dev/null) --build-arg SOURCE=$(SOURCE) $(IMAGE_FLAGS)

.PHONY: demo serve bench lint type test test-datumaro docs fuzz proto format manifests clean
.PHONY: images image image-models image-gpu image-training sbom test-containers

# Serving needs no torch: these targets install the extras `cpu` and `gallery` alone.
$(VENV)/.serving: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[cpu,gallery]'
	touch $@

$(VENV)/.dev: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[cpu,train,kubernetes,http,docs,dev]'
# It asks for an older protobuf than the one it works with, so pip must not look at what it asks for.
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps tritonclient==2.73.0
	touch $@ $(VENV)/.serving

demo: $(VENV)/.serving  ## start the service, ask it about sample images, show the answers
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

# Files of tests side by side, then, alone, those that measure what the machine can do.
WORKERS ?= auto
QUIET = $(shell grep --recursive --files-with-matches --include 'test_*.py' 'mark\.quiet' tests)
test: $(VENV)/.dev
	failed=0; \
	$(BIN)/python -m pytest -m 'not containers and not quiet' -n $(WORKERS) --dist loadfile --no-loadscope-reorder || failed=1; \
	$(BIN)/python -m pytest -m 'quiet and not containers' $(QUIET) || failed=1; \
	exit $$failed

docs: $(VENV)/.dev  ## generate the reference pages and build the site into out/site; a broken link or anchor fails
	$(BIN)/python -m docs.generate
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

# datumaro wants older packages than ours.
$(VENV)-datumaro/.made: pyproject.toml
	test -x $(VENV)-datumaro/bin/python || $(PYTHON) -m venv $(VENV)-datumaro
	$(VENV)-datumaro/bin/pip install --quiet --disable-pip-version-check --editable . datumaro==1.13.12 \
	  faster-coco-eval==1.8.0 hypothesis==6.155.2 psutil pytest pytest-timeout pytest-asyncio
	touch $@

test-datumaro: $(VENV)-datumaro/.made  ## data sets that datumaro wrote are read back equal
	$(VENV)-datumaro/bin/python -m pytest tests/unit/test_datumaro_round_trips.py

# Of all fuzzers together; in `make test` too, where both can be set as well.
FUZZ_SECONDS ?= 120
FUZZ_SEED ?= 1
export FUZZ_SECONDS FUZZ_SEED
fuzz: $(VENV)/.dev  ## fuzz all that reads what others send: tests/fuzz/README.md
	$(BIN)/python -m tests.fuzz

proto: $(VENV)/.dev  ## generate services/trunkline/api, openapi.json and the reference of limits from protos/
	$(BIN)/python -m grpc_tools.protoc -I protos $(PROTOS) \
	  --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
	  --python_out=services --grpc_python_out=services --mypy_out=quiet:services --mypy_grpc_out=quiet:services
	$(BIN)/python -m trunkline.serving.limit_page > docs/reference/limits.md
	$(BIN)/python -m grpc_tools.protoc -I protos $(PROTOS) --include_source_info --descriptor_set_out=$(VENV)/protos.bin
	$(BIN)/python -m trunkline.gateway.rest.openapi $(VENV)/protos.bin > services/trunkline/gateway/rest/openapi.json

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

manifests:  ## the manifests for those without Helm, and the chart's copies of alerts and dashboard; needs helm
	cp deploy/observability/alerts.yml deploy/observability/dashboard.json deploy/chart/files/
	PATH="$(CURDIR)/$(BIN):$$PATH" deploy/manifests/render.sh

images: image image-models image-gpu image-training  ## all container images

image:  ## serving on the CPU, models mounted at /models
	$(BUILD) --target serving --tag $(IMAGE):$(VERSION) .

image-models:  ## the same with the models of this repository in it
	$(BUILD) --target serving-models --tag $(IMAGE):$(VERSION)-models .

image-gpu:  ## serving with CUDA
	$(BUILD) --target serving --build-arg EXTRAS=gpu,gallery,http,jwt,otel,s3 --build-arg ALSO="$(GPU_PACKAGES)" \
	  --build-arg PROVIDERS=cuda --build-arg DEVICES=all --tag $(IMAGE):$(VERSION)-gpu .

image-training:  ## the training service and its workers
	$(BUILD) --target training --build-arg ALSO="$(TRAINING_PACKAGES)" --tag $(IMAGE)-training:$(VERSION) .

# What is in the images, by pip and by CycloneDX: a lock and a bill of materials for each, in out/sbom.
$(VENV)-sbom/.made:
	test -x $(VENV)-sbom/bin/python || $(PYTHON) -m venv $(VENV)-sbom
	$(VENV)-sbom/bin/pip install --quiet --disable-pip-version-check cyclonedx-bom==7.5.0
	touch $@

SBOM = mkdir -p out/sbom/$(1) && cp pyproject.toml deploy/images/requirements.py out/sbom/$(1) && \
  cd out/sbom/$(1) && $(PYTHON) requirements.py $(2) && \
  $(CURDIR)/$(VENV)-sbom/bin/pip install --quiet --disable-pip-version-check --dry-run --ignore-installed \
    --report report.json -r requirements.txt -c constraints.txt && \
  $(PYTHON) $(CURDIR)/deploy/images/lock.py report.json > lock.txt && \
  $(CURDIR)/$(VENV)-sbom/bin/cyclonedx-py requirements --output-reproducible --output-format JSON \
    --pyproject pyproject.toml --output-file bom.cdx.json lock.txt

sbom: $(VENV)-sbom/.made  ## a lock and a CycloneDX bill of materials for each image, in out/sbom
	$(call SBOM,serving,$(shell sed -n 's/^ARG EXTRAS=//p' deploy/images/Containerfile | sed -n 1p))
	$(call SBOM,training,$(shell sed -n 's/^ARG EXTRAS=//p' deploy/images/Containerfile | sed -n 2p))

# In a network namespace of its own: no container and no call is on a network of the machine.
test-containers: $(VENV)/.dev  ## real containers that are stopped, killed, frozen and cut off; needs root and the images
	unshare --net $(BIN)/python -m pytest tests/containers -m containers --image $(IMAGE):$(VERSION)

clean:
	rm -rf $(VENV) $(VENV)-datumaro $(VENV)-sbom out build dist .mypy_cache .ruff_cache .pytest_cache
