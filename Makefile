# hadal: `make demo` builds everything and trains a small V3 model on this machine; `make test` checks it.
PRESET ?= release
JOBS ?= $(shell tools/jobs.sh)

.PHONY: all setup setup-dev build test demo check-hf asan tsan fuzz format tidy bench clean

all: build

setup:
	@tools/setup.sh

setup-dev:
	@tools/setup.sh --dev

build: setup
	@cmake --preset $(PRESET) > /dev/null
	@cmake --build --preset $(PRESET) -j $(JOBS)

test: build
	@cd build/$(PRESET) && ctest --output-on-failure -j $(JOBS)
	@set -e; for script in tests/e2e/*.sh; do [ -e "$$script" ] || continue; echo "== $$script"; "$$script" build/$(PRESET)/hadal; done

demo: build
	@tools/demo.sh build/$(PRESET)/hadal

check-hf: build
	@tools/check_hf.sh build/$(PRESET)/hadal

asan tsan: setup
	@cmake --preset $@ > /dev/null
	@cmake --build --preset $@ -j $(JOBS)
	@cd build/$@ && ctest --output-on-failure

fuzz: setup-dev
	@tools/fuzz.sh

format:
	@git ls-files 'src/*.cpp' 'src/*.h' 'tests/*.cpp' 'tests/*.h' 'bench/*.cpp' | xargs clang-format-19 -i

tidy: setup-dev
	@tools/tidy.sh

bench: build
	@cmake --build --preset $(PRESET) -j $(JOBS) --target bench

clean:
	@rm -rf build
