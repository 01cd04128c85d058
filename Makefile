# make lab    run the lab through to the plots: the course's files, else the practice lab
# make audit  look for a backdoor in the lab's network with clean images alone; takes minutes
# make test   run the tests; make test-slow runs those that take minutes
# make test-portable  the tests on Linux without what Windows lacks, and without what macOS lacks
# make test-browser  open the report in a browser and put it through the HTML checker
# make fuzz   damage files by chance, 2,500 times; takes some minutes
# make test-lowest  the tests with the oldest releases that requirements.txt allows
# make test-fleet  audit many networks on Dask, a worker of which is killed
# make test-notebook  run notebooks/lab.ipynb in a kernel
# make test-keras2 test-keras3  the same files with older releases of Keras, which are fetched
# make docs   draw the pictures of the documents again
# make bench  measure the sweep and the scripts; takes some minutes
# make bench-field  train networks on CIFAR-10 and repair them; takes hours
# make bench-repairs  measure the repairs on practice labs of five seeds; takes hours
PYTHON ?= python3
BIN = .venv/bin
# Where the course's network is not there, repair.py has built the practice lab, and said so.
LAB = $(if $(wildcard models/bd_net.h5 models/bd_weights.h5),,--lab practice)

.PHONY: lab audit test test-slow test-portable test-browser test-fleet test-notebook test-lowest fuzz lint bench bench-field bench-repairs docs test-keras2 test-keras3 clean

lab: .venv/installed
	$(BIN)/python repair.py
	$(BIN)/python Geval.py $(LAB)
	$(BIN)/python plot.py $(LAB)

audit: .venv/installed
	$(BIN)/python audit.py --fail-on never

docs: .venv/installed
	$(BIN)/python practice.py
	$(BIN)/python repair.py --lab practice
	$(BIN)/python Geval.py --lab practice
	$(BIN)/python plot.py --lab practice
	cp practice/faces.png practice/models/samples.png docs/
	cd practice/plots && cp pruning.png tradeoff.png channels.png answers.png ../../docs/

test: .venv/installed-dev
	$(BIN)/python -m pytest -q -n auto --dist loadfile

test-slow: .venv/installed-dev
	$(BIN)/python -m pytest -q -m slow -rs

# tests/portable.py says what is taken away. Tests that are about Linux itself leave themselves out,
# and -rs lists them with their reasons.
test-portable: .venv/installed-dev
	for system in windows macos; do \
	  GOODNET_TESTS_SYSTEM=$$system $(BIN)/python -m pytest -q -n auto --dist loadfile -rs || exit 1; \
	done

test-browser: .venv/installed-browser
	$(BIN)/python -m pytest -q -m "browser and not slow" -rs

test-fleet: .venv/installed-fleet
	$(BIN)/python -m pytest -q -rs tests/test_fleet.py

test-notebook: .venv/installed-notebook
	$(BIN)/python -m pytest -q -m "slow or not slow" -rs tests/test_notebook.py

# PYTHON must be 3.11 or 3.12: TensorFlow 2.19 has no wheels for others.
test-lowest:
	$(PYTHON) -m venv .venv/lowest
	.venv/lowest/bin/pip install -q --disable-pip-version-check pytest pytest-xdist html5lib \
	  $$(sed -n 's/>=\([0-9.]*\),.*/==\1/p' requirements.txt)
	.venv/lowest/bin/python -m pytest -q -n auto --dist loadfile -k "not imports_run_downwards"

fuzz: .venv/installed-dev
	$(BIN)/python tests/fuzzing.py --count 2500 $(FUZZ)

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo

bench: .venv/installed
	$(BIN)/python benchmarks/sweep.py

# ZOO is the folder for the networks; CIFAR-10 comes through keras.datasets, or from CIFAR_DIR.
ZOO ?= zoo
bench-field: .venv/installed
	$(BIN)/python benchmarks/zoo.py $(ZOO)
	$(BIN)/python benchmarks/field.py $(ZOO)

bench-repairs: .venv/installed
	$(BIN)/python benchmarks/repairs.py

# Networks of Keras 2: that we take those it writes, and that it loads those we write (with LAB_DIR).
# PYTHON must be 3.9 to 3.11. Still older ones: KERAS2_PYTHON=one/bin/python:other/bin/python pytest.
KERAS2 = 2.12.1 2.13.1 2.14.1 2.15.1
test-keras2: .venv/installed-dev
	for version in $(KERAS2); do \
	  $(PYTHON) -m venv .venv/keras-$$version && \
	  .venv/keras-$$version/bin/pip install -q tensorflow-cpu==$$version || exit 1; \
	done
	KERAS2_PYTHON=$$(ls -d $(KERAS2:%=$(CURDIR)/.venv/keras-%/bin/python) | paste -sd:) \
	  $(BIN)/python -m pytest -q -k keras_2 -rs

# That older releases of Keras 3 fall for the hostile files that we refuse. PYTHON must be the one
# of .venv, for code in the files is of one version of Python, and 3.11 or 3.12.
KERAS3 = 3.8.0 3.10.0
test-keras3: .venv/installed-dev
	for version in $(KERAS3); do \
	  $(PYTHON) -m venv .venv/keras-$$version && \
	  .venv/keras-$$version/bin/pip install -q keras==$$version tensorflow-cpu==2.19.1 || exit 1; \
	done
	KERAS3_PYTHON=$$(ls -d $(KERAS3:%=$(CURDIR)/.venv/keras-%/bin/python) | paste -sd:) \
	  $(BIN)/python -m pytest -q -k keras_3 -rs tests/test_hostile.py

.venv/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "$(PYTHON) is not Python 3.11 to 3.13, which TensorFlow needs: make PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	touch $@

.venv/installed: .venv/python requirements.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.txt
	touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-dev.txt
	touch $@

.venv/installed-fleet: .venv/installed-dev requirements-fleet.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-fleet.txt
	touch $@

.venv/installed-notebook: .venv/installed-dev requirements-notebook.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-notebook.txt
	touch $@

# Where no browser can be fetched, one that is installed is taken.
.venv/installed-browser: .venv/installed-dev requirements-browser.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-browser.txt
	$(BIN)/playwright install --only-shell chromium >/dev/null 2>&1 || \
	  echo "no browser could be fetched" >&2
	touch $@

clean:
	rm -rf .venv
