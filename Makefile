# hadal: `make demo` builds everything and trains a small V3 model on this machine; `make test` checks it.
PRESET ?= release
JOBS ?= $(shell tools/jobs.sh)
SOURCES = git ls-files 'src/*.cpp' 'src/*.h' 'tests/*.cpp' 'tests/*.h' 'bench/*.cpp' 'bench/*.h' 'examples/*.cpp'

.PHONY: all setup setup-dev build test demo check-hf check-clients check-templates page check-page asan tsan fuzz format format-check tidy budgets bench bench-peer clean

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

# Against PyTorch and Transformers, in a virtual environment of its own: answers, then training speed.
check-hf: build
	@tools/check_hf.sh build/$(PRESET)/hadal

# The web pages: TypeScript in web/ to the files in src/serve/page that the binary carries. Needs Node 20.
page:
	@tools/page.sh build

# Their types, unit tests, whether the committed files are what the sources give, and a browser with a mock server.
check-page: build
	@tools/page.sh check build/$(PRESET)/hadal

# The server, asked by OpenAI's and Anthropic's libraries, LiteLLM, lm-eval and curl, in a virtual environment of their own.
check-clients: build
	@tools/check_clients.sh build/$(PRESET)/hadal

# The chat templates of the tests, by Python's Jinja2.
check-templates:
	@tools/check_templates.sh

bench-peer: build
	@python=$$(tools/venv_hf.sh) && $$python bench/peer_transformers.py --hadal build/$(PRESET)/hadal

asan: setup
	@tools/sanitize.sh asan core formats ops checkpoint text data model optim grammar infer train chat http serve

tsan: setup
	@tools/sanitize.sh tsan core grammar http infer serve

fuzz: setup-dev
	@tools/fuzz.sh

format:
	@$(SOURCES) | xargs clang-format-19 -i

format-check:
	@$(SOURCES) | xargs clang-format-19 --dry-run --Werror

tidy: setup-dev
	@tools/tidy.sh

budgets:
	@python3 tools/budgets.py

bench: build
	@cmake --build --preset $(PRESET) -j $(JOBS) --target benches

clean:
	@rm -rf build
