// "No heap allocation in a decode step." Counts every `operator new` of this program, whichever
// thread calls it, while engines run: the operator is replaced for all tests of this folder, in
// every form whose memory an `operator delete` below gives back (the sanitizers check the pairs).
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <vector>

#include "infer/engine.h"
#include "model/rotary_scaling.h"
#include "model/support.h"

using namespace hadal;
using namespace hadal::infer;

namespace {

std::atomic<int64_t> allocations{0};

/// Null where there is no memory.
void* counted_or_null(size_t bytes, size_t alignment) {
    allocations.fetch_add(1, std::memory_order_relaxed);
    const size_t rounded = (std::max<size_t>(bytes, 1) + alignment - 1) / alignment * alignment;
    return std::aligned_alloc(alignment, rounded);
}

void* counted(size_t bytes, size_t alignment) {
    if (void* memory = counted_or_null(bytes, alignment)) return memory;
    throw std::bad_alloc();
}

}  // namespace

void* operator new(size_t bytes) {
    return counted(bytes, alignof(std::max_align_t));
}
void* operator new(size_t bytes, std::align_val_t alignment) {
    return counted(bytes, size_t(alignment));
}
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
    return counted_or_null(bytes, alignof(std::max_align_t));
}
void* operator new(size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
    return counted_or_null(bytes, size_t(alignment));
}
void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
    std::free(memory);
}
void operator delete(void* memory, size_t, std::align_val_t) noexcept {
    std::free(memory);
}

namespace {

constexpr int64_t kPromptTokens = 5;

model::Model small_model(Context& context) {
    model::ModelConfig config = model::preset("tiny");
    config.vocab_size = 50;
    return {config, model::init_weights(context, config, DType::bf16, 3),
            model::rotary_table(config, 512, DType::f32)};
}

/// Allocations of each step from the first to the one that ends the requests.
std::vector<int64_t> allocations_of_steps(Context& context, const model::Model& model,
                                          bool fp8_cache, int sequences,
                                          const SamplingOptions& sampling) {
    Engine engine(context, model,
                  {.cache_bytes = 40 * cache_page_bytes(model), .fp8_cache = fp8_cache});
    for (int i = 0; i < sequences; ++i) {
        Request request;
        for (int32_t t = 0; t < kPromptTokens; ++t) request.prompt.push_back((3 * t + i) % 50);
        request.max_new_tokens = 3 * kPageTokens;
        request.sampling = sampling;
        request.on_token = [](const GeneratedToken&) { return true; };
        engine.submit(request);
    }
    std::vector<int64_t> counts;
    counts.reserve(size_t(4 * kPageTokens));
    for (bool more = true; more;) {
        const int64_t before = allocations.load();
        more = engine.step();
        counts.push_back(allocations.load() - before);
    }
    return counts;
}

/// Whether a sequence takes a page, or gives a full one to the prefix tree, in the step.
bool touches_pages(size_t step) {
    return (kPromptTokens + int64_t(step)) % kPageTokens <= 1;
}

void check_steps_allocate_nothing(Context& context, const model::Model& model) {
    for (const bool fp8_cache : {false, true}) {
        for (const int sequences : {1, 8}) {
            for (const double temperature : {0.0, 0.8}) {
                CAPTURE(fp8_cache);
                CAPTURE(sequences);
                CAPTURE(temperature);
                const SamplingOptions sampling{
                    .temperature = temperature, .top_k = 8, .top_p = 0.95};
                const auto counts =
                    allocations_of_steps(context, model, fp8_cache, sequences, sampling);
                REQUIRE(counts.size() >= size_t(3 * kPageTokens));
                CHECK(counts[0] > 0);  // the counter counts
                // The first steps make buffers; the last one gives results back.
                for (size_t step = 3; step + 2 < size_t(3 * kPageTokens); ++step) {
                    if (touches_pages(step)) continue;
                    CAPTURE(step);
                    CHECK(counts[step] == 0);
                }
            }
        }
    }
}

}  // namespace

TEST_CASE("engine: a step that generates allocates nothing unless a page begins or ends") {
    ThreadPool threads(2);
    Workspace workspace;
    Context context{threads, workspace};
    const model::Model values = small_model(context);
    model::Model integers = values;
    integers.weights = test::in_integers(integers.config, integers.weights);
    for (const bool in_integers : {false, true}) {
        CAPTURE(in_integers);
        check_steps_allocate_nothing(context, in_integers ? integers : values);
    }
}
