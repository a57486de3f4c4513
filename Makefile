# Two commands do everything on a fresh machine with Python >= 3.11, make and git:
#     make demo    the main example, run here          make test    the quick tests that need no cluster
# Each sets up what it needs in .venv and touches nothing else; `make help` lists the rest.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
INSTALL := $(PIP) install -c constraints.txt
PYTEST := $(BIN)/python -m pytest
# the suites that take longest name their slowest tests, which may have to move to a target of their own
SLOWEST := --durations=20 --durations-min=5
SPREAD := -n auto --dist worksteal
# two clusters at a time: what one waits for, leases and grace periods, the other uses; a developer's own is one
CLUSTERS := $(if $(ORCHESTUNE_TEST_KUBECONFIG),,-n 2 --dist worksteal)
PYTHONS := $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11
# what runs in a user's own Python, which may be of version 3.8
OLD_PYTHONS := worker config/modules config/scripts/capture_parser.py domain/search/floats.py $(addprefix sdk/,trial_end.py trial_files.py parameters.py reporting.py)
NO_SERVER := not postgres and not chaos and not wheel and not docker and not slurm and not kubernetes and not torch and not mlflow and not oidc and not trackers and not pages
FAST := $(NO_SERVER) and not long

.PHONY: help demo test test-long test-longest test-postgres test-torch test-mlflow test-oidc test-trackers test-docker test-docker-long test-slurm test-kubernetes test-kubernetes-long test-pages test-pages-long types-pages testbeds test-wheel mutants chaos chaos-short lint types imports vermin words check format docs site release benchmarks clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 22

$(BIN)/python:
	@found=; for python in $(PYTHONS); do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "make: no Python of version 3.11 or later was found; install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; \
	fi; \
	if ! "$$found" -c 'import venv, ensurepip' 2>/dev/null; then \
	  echo "make: $$found has no venv module; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; \
	fi; \
	echo "Setting up $(VENV) with $$("$$found" --version) (once, a minute or two)" >&2; \
	"$$found" -m venv $(VENV)

$(VENV)/pip.stamp: $(BIN)/python
	@$(PIP) install --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/run.stamp: $(VENV)/pip.stamp pyproject.toml constraints.txt
	@$(INSTALL) -e . scikit-learn
	@touch $@

$(VENV)/dev.stamp: $(VENV)/pip.stamp pyproject.toml constraints.txt
	@$(INSTALL) -e '.[oidc,postgres,s3]' --group dev
	@touch $@ $(VENV)/run.stamp

.venv-mlflow/stamp: $(VENV)/pip.stamp tests/testbeds/mlflow.py
	@rm -rf $(@D) && $(BIN)/python -m tests.testbeds.mlflow $(@D)
	@touch $@

.venv-trackers/stamp: $(VENV)/pip.stamp tests/testbeds/trackers.py pyproject.toml
	@rm -rf $(@D) && $(BIN)/python -m tests.testbeds.trackers $(@D)
	@touch $@

.venv-oidc/stamp: $(VENV)/dev.stamp tests/testbeds/oidc/package.json
	@rm -rf $(@D) && $(BIN)/python -m tests.testbeds.oidc.provider $(@D)
	@touch $@

.venv-torch/stamp: $(VENV)/dev.stamp tests/testbeds/torch.py
	@rm -rf $(@D) && $(BIN)/python -m tests.testbeds.torch $(@D)
	@touch $@

demo: $(VENV)/run.stamp ## a search of the settings of a real model, and the same budget at random, on this machine
	@cd examples/30-kernel-ridge && PATH="$(CURDIR)/$(BIN):$$PATH" sh demo.sh

test: $(VENV)/dev.stamp ## the tests that need no cluster and no database server, without the slow ones
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(PYTEST) $(SPREAD) -m '$(FAST) and not slow'

test-long: $(VENV)/dev.stamp ## the slow ones: examples, promises, attacks, the API as a whole, simulated AWS
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(PYTEST) $(SPREAD) $(SLOWEST) -m '$(FAST) and slow'

test-longest: $(VENV)/dev.stamp ## the slowest of them, for which CI has no time: a simulated AWS whose processes die, cross-validation
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(PYTEST) -m '$(NO_SERVER) and long'

test-postgres: $(VENV)/dev.stamp ## the store and the server on a real PostgreSQL (it must be installed)
	@$(PYTEST) -m 'postgres and not chaos'

test-torch: .venv-torch/stamp ## Keras, Lightning and Transformers (they are installed aside: 0.7 GB to fetch, gcc)
	@$(PYTEST) -m torch

test-mlflow: .venv-mlflow/stamp $(VENV)/dev.stamp ## a real tracking server of MLflow (it is installed aside: 0.2 GB to fetch)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(PYTEST) -m mlflow

test-trackers: .venv-trackers/stamp $(VENV)/dev.stamp ## W&B, TensorBoard and trackio (they are installed aside: 0.2 GB to fetch)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(PYTEST) -m trackers

test-oidc: .venv-oidc/stamp ## single sign-on with a real identity provider (node and npm must be installed: 5 MB to fetch)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(PYTEST) -m oidc

testbeds: $(VENV)/dev.stamp ## build the programs of a Kubernetes cluster (Go >= 1.26; 8 minutes once, kept in ~/.cache)
	@$(BIN)/python -m tests.testbeds.kubernetes build

test-docker: $(VENV)/dev.stamp ## Docker and image registries, on real ones (root, Debian packages: see CONTRIBUTING.md)
	@$(PYTEST) $(SLOWEST) -m 'docker and not kubernetes and not long'

test-docker-long: $(VENV)/dev.stamp ## images built by docker, podman and buildah (Debian packages of these names), and the server's image twice
	@$(PYTEST) -m 'docker and long and not kubernetes'

test-slurm: $(VENV)/dev.stamp ## a real Slurm of three nodes (root, Debian packages: see CONTRIBUTING.md)
	@$(PYTEST) $(SLOWEST) -m slurm

test-kubernetes: testbeds ## a real cluster of three nodes, or the one in ORCHESTUNE_TEST_KUBECONFIG
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(PYTEST) $(CLUSTERS) $(SLOWEST) -m 'kubernetes and not long'

test-kubernetes-long: testbeds ## what takes many minutes there: chaos, a hundred workers, a thousand pods, examples, a simulated AWS
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(PYTEST) -m 'kubernetes and long'

$(VENV)/tsc.stamp:
	@npm install --silent --no-save --no-package-lock --prefix $(VENV)/node typescript@5
	@mkdir -p $(VENV) && touch $@

types-pages: $(VENV)/tsc.stamp ## the types of the pages' scripts (npm must be installed)
	@$(VENV)/node/node_modules/.bin/tsc -p tests/pages

# Chromium drops every connection when its machine gets a network device, as clusters beside it make: where that may be
# done it gets a network of its own
ALONE := alone() { unshare --net sh -c 'ip link set lo up && exec "$$@"' alone "$$@"; }; \
	unshare --net true 2>/dev/null || alone() { "$$@"; }; \
	export PATH="$(CURDIR)/$(BIN):$$PATH"; alone

test-pages: $(VENV)/dev.stamp types-pages ## the web pages in a real browser (Chromium must be installed)
	@$(ALONE) $(PYTEST) $(SLOWEST) -m 'pages and not long'

test-pages-long: $(VENV)/dev.stamp ## pages that stay open for a whole day, in ten minutes
	@$(ALONE) $(PYTEST) -m 'pages and long'

test-wheel: $(VENV)/dev.stamp ## build the wheel, install it in an environment of its own, run the demo there
	@$(PYTEST) $(SLOWEST) -m wheel

$(VENV)/mutants.stamp: $(VENV)/dev.stamp
	@$(INSTALL) --group mutants
	@touch $@

mutants: $(VENV)/mutants.stamp ## change the worker protocol and the state tables in hundreds of ways: a test has to fail each time
	@$(BIN)/python -m tests.mutants

chaos-short: $(VENV)/dev.stamp ## kill, freeze and cut off for a minute or two
	@$(PYTEST) tests/chaos -m chaos

chaos: $(VENV)/dev.stamp ## the same with at least 1,000 faults
	@$(BIN)/python -m tests.chaos.driver --faults 1000

lint: $(VENV)/dev.stamp ## ruff, and no new handlers of any exception
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/python -m tests.broad_excepts

types: $(VENV)/dev.stamp ## mypy --strict, and the sources once more as on macOS
	@$(BIN)/mypy
	@$(BIN)/mypy --platform darwin --cache-dir .mypy_cache/darwin src

imports: $(VENV)/dev.stamp ## the layers
	@$(BIN)/lint-imports

vermin: $(VENV)/dev.stamp ## the worker, and what scripts import, stay within Python 3.8
	@$(BIN)/vermin --target=3.8- --no-tips --violations $(addprefix src/orchestune/,$(OLD_PYTHONS))

words: $(VENV)/dev.stamp ## spelling, and words that were replaced by the terms of the field
	@$(BIN)/codespell src docs README.md CONTRIBUTING.md CHANGELOG.md SECURITY.md
	@$(BIN)/python -m tests.plain_language

check: lint types imports vermin words ## lint, types, imports, vermin, words

format: $(VENV)/dev.stamp ## rewrite the sources as ruff wants them
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

docs: $(VENV)/dev.stamp ## write the generated pages
	@$(BIN)/python -m docs.generate

$(VENV)/docs.stamp: $(VENV)/dev.stamp
	@$(INSTALL) --group docs
	@touch $@

site: $(VENV)/docs.stamp ## the pages as a site, in build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "build/site/index.html"

$(VENV)/release.stamp: $(VENV)/pip.stamp pyproject.toml constraints.txt
	@$(INSTALL) --group release
	@touch $@

release: $(VENV)/release.stamp ## wheel, sdist and a list of packages in dist/: checked, built twice to equal bytes, not published
	@bash .ci/release $(BIN)/python

benchmarks: $(VENV)/dev.stamp ## nine of the benchmarks in their quick form (docs/benchmarks.md says how the long ones run)
	@for name in throughput sleep_slots suggestion_wait many_workers cli_start log_follow early_stopping stopped_search pruning_cost; do \
	  PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m benchmarks.$$name --quick || exit 1; done

clean: ## remove the environment and what was built
	@rm -rf $(VENV) .venv-torch .venv-mlflow .venv-oidc .venv-trackers build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
