# Two commands do everything: `make demo` and `make test`. Both work again at once when repeated.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers
LITELLM := .venv-litellm
JOBS ?= 2
WORLD ?= small
SCALE ?= 1

.PHONY: help demo test bench lint types contracts peers litellm java protos clean

help: ## what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(VENV)/.installed ## simulate a world, find its campaigns, write demo/report.html, show a plan and its effect
	$(BIN)/stillwatch demo --out demo
	$(BIN)/stillwatch plan demo --policy examples/policy.toml --data demo/world --state sqlite:///demo/state.db
	$(BIN)/stillwatch replay demo/world demo --policy examples/policy.toml --labels

test: $(VENV)/.installed lint types contracts peers litellm java ## the whole test suite with lint, strict types and import contracts
	$(BIN)/python -m pytest -n $(JOBS)

lint: $(VENV)/.installed ## style
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks

types: $(VENV)/.installed ## strict types
	$(BIN)/mypy

contracts: $(VENV)/.installed ## who may import whom
	$(BIN)/lint-imports

$(PEERS)/.installed: pyproject.toml constraints-peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --upgrade pip
	$(PYTHON) -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['peers'], sep='\n')" > $(PEERS)/requirements.txt
	$(PEERS)/bin/python -m pip install --quiet --constraint constraints-peers.txt --requirement $(PEERS)/requirements.txt
	touch $@

peers: $(PEERS)/.installed ## other people's detectors, in an environment of their own (docs/peers.md)

$(LITELLM)/.installed: constraints-litellm.txt
	$(PYTHON) -m venv $(LITELLM)
	$(LITELLM)/bin/python -m pip install --quiet --upgrade pip
	$(LITELLM)/bin/python -m pip install --quiet --constraint constraints-litellm.txt 'litellm[proxy]' msgspec
	$(LITELLM)/bin/python -m pip install --quiet --no-deps --editable .
	touch $@

litellm: $(LITELLM)/.installed ## the LiteLLM proxy, in an environment of its own (docs/gateways/litellm.md)

java: ## Java for Spark's tests: what is there, else the system's package (Debian, as root)
	@command -v java >/dev/null || test -n "$$JAVA_HOME" \
	|| { apt-get update -q && apt-get install -q -y openjdk-17-jre-headless; } \
	|| echo "no Java: Spark's tests are skipped, or fail where CI is set; install Java 17 or 21"

protos: ## make the Envoy messages anew from their .proto file (protoc of grpcio-tools, in an environment of its own)
	$(PYTHON) -m venv .venv-protos
	.venv-protos/bin/python -m pip install --quiet grpcio-tools==1.85.1
	.venv-protos/bin/python -m grpc_tools.protoc -I src --python_out=src --pyi_out=src src/stillwatch/service/protos/envoy.proto
	rm -rf .venv-protos

bench: $(VENV)/.installed ## speed and memory of ingest and of a scan's stages as ratios to this machine's floors, and growth (WORLD=seed SCALE=0.1)
	$(BIN)/python -u -m benchmarks.text_kernel
	$(BIN)/python -u -m benchmarks.ingest
	$(BIN)/python -u -m benchmarks.stages --world $(WORLD) --scale $(SCALE)

clean: ## remove what the two commands made
	rm -rf $(VENV) $(PEERS) $(LITELLM) demo bench build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
