# `make demo` and `make test` do all their own set-up: a .venv from constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CIDESIGN := $(BIN)/cidesign
# Real single-pixel readings of a toy car; the demo goes on without them where the folder is absent.
CAR ?= ../shared/data/spi/denbo313_hologram/Car_half.npz

PICTURES := picture-dlp4500 picture-chrome-laser-10um-16band picture-mri-generic-3t

# The site in docs/_build, warnings being errors; GALLERY=0 leaves out the programs of the gallery, which take minutes.
GALLERY ?= 1

.PHONY: docs demo demo-single-pixel demo-mri-generic-3t demo-chrome-laser-10um demo-lensless-pi-hq pictures $(PICTURES) test lint style types package tools clean

$(READY): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)

# The whole chain for one device of each kind, each link an ordinary command; the benches are simulated, with faults.
# They go side by side with one thread each, which two cores do faster than two threads one after the other.
CHAINS := demo-single-pixel demo-mri-generic-3t demo-chrome-laser-10um demo-lensless-pi-hq
demo: $(READY)
	@echo "four chains, three at a time; what a command prints is shown when it has ended"
	@OMP_NUM_THREADS=1 $(MAKE) --no-print-directory --jobs 3 --output-sync=line $(CHAINS)

demo-single-pixel: $(READY)
	$(CIDESIGN) distill --profile dlp4500 --out demo/run --force
	$(CIDESIGN) check demo/run
	$(CIDESIGN) export demo/run --out demo/export --force
	$(CIDESIGN) check demo/export
	$(CIDESIGN) simulate demo/run --out demo/capture --fault drift=3 --fault rotation=2 --force
	$(CIDESIGN) calibrate demo/capture --run demo/run --out demo/calibration --force
	$(CIDESIGN) reconstruct demo/run demo/capture --calibration demo/calibration --out demo/bench --force
	@if [ -f "$(CAR)" ]; then set -x; \
	  $(CIDESIGN) reconstruct demo/run "$(CAR)" --reader hadamard --out demo/car --force && \
	  $(CIDESIGN) report demo/run --include demo/calibration --include demo/bench --include demo/car --force; \
	else echo "$(CAR) is not here: the real car is left out"; set -x; \
	  $(CIDESIGN) report demo/run --include demo/calibration --include demo/bench --force; fi

demo-mri-generic-3t demo-chrome-laser-10um demo-lensless-pi-hq: demo-%: $(READY)
	$(CIDESIGN) distill --profile $* --out demo/$* --force
	$(CIDESIGN) export demo/$* --force
	$(CIDESIGN) check demo/$*
	$(CIDESIGN) simulate demo/$* --fault mirror --fault shift --force
	$(CIDESIGN) calibrate demo/$*/capture --run demo/$* --force
	$(CIDESIGN) reconstruct demo/$* demo/$*/capture --calibration demo/$*/calibration --force
	$(CIDESIGN) report demo/$* --include demo/$*/calibration --include demo/$*/images --force

# The pictures of README and pages: designs of the sizes that benches use, trained for a tenth of an hour each instead of a
# night.  25 minutes on two cores.
pictures: $(READY)
	@OMP_NUM_THREADS=1 $(MAKE) --no-print-directory --jobs 2 --output-sync=line $(PICTURES)
	cp pictures/dlp4500/images/comparison.png docs/images/bench.png
	cp pictures/dlp4500/calibration/operator.png docs/images/operator.png
	cp pictures/dlp4500/figures/patterns.png docs/images/patterns.png
	cp pictures/chrome-laser-10um-16band/export/preview.png docs/images/mask.png
	cp pictures/mri-generic-3t/figures/lines.png docs/images/lines.png

picture-dlp4500: SIZE := --set images=6000 --set channels=16
picture-dlp4500: FAULTS := --fault drift=3 --fault rotation=2
picture-chrome-laser-10um-16band: SIZE := --set images=480 --set channels=16
picture-mri-generic-3t: SIZE := --set images=480
picture-chrome-laser-10um-16band picture-mri-generic-3t: FAULTS := --fault mirror --fault shift
$(PICTURES): picture-%: $(READY)
	$(CIDESIGN) distill --profile $* --preset standard $(SIZE) --teacher-epochs 2 --student-epochs 4 --out pictures/$* --force
	$(CIDESIGN) export pictures/$* --force
	$(CIDESIGN) simulate pictures/$* $(FAULTS) --force
	$(CIDESIGN) calibrate pictures/$*/capture --run pictures/$* --force
	$(CIDESIGN) reconstruct pictures/$* pictures/$*/capture --calibration pictures/$*/calibration --force
	$(CIDESIGN) report pictures/$* --include pictures/$*/calibration --include pictures/$*/images --force

# One thread each for three test processes on two cores: some tests wait for SLURM, and for programs that they start.
# Each begins with a third of the tests and takes over of others' in the end, so that what tests share is made once, and
# those that wait are in one process.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist worksteal

# Other people's programs that tests compare with, where this machine can install them; the tests skip what is absent.
# MRzero is AGPL: it checks files in the tests and is no part of cidesign.
tools: $(READY)
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps mrzerocore==1.2.0 pydisseqt==0.2.1 \
	  tqdm requests urllib3 certifi charset-normalizer idna scikit-image imageio lazy-loader torchkbnufft
	-apt-get install --quiet --quiet --yes bart ismrmrd-tools libxml2-utils > /dev/null
	-apt-get install --quiet --quiet --yes slurm-wlm munge > /dev/null
	-apt-get install --quiet --quiet --yes chromium > /dev/null
	-command -v npm > /dev/null || apt-get install --quiet --quiet --yes npm > /dev/null
	-npm install --silent --no-save --no-package-lock axe-core@4.14.1
	-$(PYTHON) -m venv .snakemake-venv && \
	  .snakemake-venv/bin/python -m pip install --quiet --disable-pip-version-check snakemake==9.27.1

docs: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	OMP_NUM_THREADS=2 $(BIN)/python -m sphinx -W --keep-going -q -b html -D plot_gallery=$(GALLERY) docs docs/_build

lint: style types

style: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/python tests/typecheck.py

# The wheel is built from the source archive, installed alone, and used from an empty folder.
package: $(READY)
	rm -rf build dist .wheel-venv .wheel-empty
	$(BIN)/python -m build --outdir dist .
	$(PYTHON) -m venv .wheel-venv
	.wheel-venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt dist/*.whl
	mkdir .wheel-empty
	cd .wheel-empty && ../.wheel-venv/bin/cidesign --help && ../.wheel-venv/bin/cidesign profiles list
	rm -rf build dist .wheel-venv .wheel-empty

clean:
	rm -rf $(VENV) docs/_build docs/gallery_pages docs/reference/made build dist .typecheck .wheel-venv .wheel-empty .snakemake-venv demo pictures *.egg-info
