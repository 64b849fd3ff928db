# Two commands: `make demo` and `make test`; both do all the set-up.

VENV := .venv
VENV_KERAS3 := .venv-keras3
# Test files run side by side in so many processes: `make test JOBS=4`.
JOBS := 2
PYTEST := -q -p no:cacheprovider -n $(JOBS) --dist loadfile

.PHONY: setup demo test test-fast lint package clean

setup: $(VENV)/.installed $(VENV_KERAS3)/.installed

$(VENV)/.installed: setup.py constraints.txt scripts/make_environment.sh
	bash scripts/make_environment.sh $(VENV) constraints.txt all

$(VENV_KERAS3)/.installed: setup.py constraints-keras3.txt scripts/make_environment.sh
	bash scripts/make_environment.sh $(VENV_KERAS3) constraints-keras3.txt keras3-test,dev

demo: $(VENV)/.installed
	$(VENV)/bin/python scripts/demo.py

test: setup
	@echo "== TensorFlow 2.15, Keras 2.15: all tests"
	$(VENV)/bin/python -m pytest $(PYTEST) tests
	@echo "== TensorFlow 2.21, Keras 3: the lamb tests"
	$(VENV_KERAS3)/bin/python -m pytest $(PYTEST) tests/lamb

test-fast: setup
	$(VENV)/bin/python -m pytest $(PYTEST) -m "not slow" tests
	$(VENV_KERAS3)/bin/python -m pytest $(PYTEST) -m "not slow" tests/lamb

lint: $(VENV)/.installed
	$(VENV)/bin/ruff check .

package: $(VENV)/.installed
	rm -rf build dist
	$(VENV)/bin/python -m build --outdir dist .
	$(VENV)/bin/python -m twine check --strict dist/*
	$(VENV)/bin/python -m zipfile --list dist/*.whl | grep lamb/py.typed

clean:
	rm -rf $(VENV) $(VENV_KERAS3) build dist *.egg-info
