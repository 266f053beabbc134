#include "ops/attention_latent.h"

#include <algorithm>
#include <cstddef>

#include "ops/cpu/attention_latent.h"
#include "ops/cpu/dispatch.h"
#include "ops/cpu/statistic.h"
#include "ops/latent_rows.h"

namespace hadal::ops {

namespace {

// Splits are spread over threads only where whole row groups would leave threads idle, and only up
// to this memory.
constexpr int64_t kMostPartialBytes = int64_t(256) << 20;

static_assert(kLatentPageRows == cpu::kLatentPage);

void check_sequence(const LatentSequence& sequence, const LatentPages& cache, int64_t tokens) {
    const int64_t length = sequence.length, count = sequence.query_count;
    if (count < 0 || count > length || sequence.first_query < 0 ||
        sequence.first_query + count > tokens) {
        throw Error(
            Error::Kind::internal,
            concat("a sequence of ", length, " positions claims queries ", sequence.first_query,
                   " … ", sequence.first_query + count, " of ", tokens));
    }
    const int64_t in_cache = cache.rows.shape()[0] / kLatentPageRows;
    const int64_t slots = length > 0 ? length + cache.shift : 0;
    if (slots > int64_t(sequence.pages.size()) * kLatentPageRows ||
        !std::ranges::all_of(sequence.pages,
                             [&](int32_t page) { return page >= 0 && page < in_cache; })) {
        throw Error(Error::Kind::internal,
                    concat("a sequence of ", length, " positions with ", sequence.pages.size(),
                           " pages of a cache of ", in_cache));
    }
}

cpu::LatentSizes sizes_of(const Tensor& q_latent, const Tensor& q_pe, const LatentPages& cache,
                          std::span<const LatentSequence> sequences, double scale) {
    const auto [tokens, latent_width] = q_latent.shape<2>();
    const int64_t columns = cache.rows.shape<2>()[1], rope_width = q_pe.shape<2>()[1];
    const bool is_coded = cache.rows.dtype() == DType::u8;
    // What a head's channels take of a row.
    const int64_t width = latent_width + (is_coded ? size_of(DType::bf16) : 1) * rope_width;
    const int64_t each = is_coded ? columns - kLatentScaleBytes : columns;
    if (each <= 0 || width == 0 || width % each != 0) {
        throw Error(Error::Kind::internal,
                    concat("queries of ", latent_width, " + ", rope_width,
                           " channels do not divide into heads of the cache's width, ", columns));
    }
    const int64_t heads = width / each, rank = latent_width / heads, rope = rope_width / heads;
    require(q_latent, is_coded ? DType::bf16 : q_latent.dtype(), {tokens, heads * rank},
            "q_latent");
    require(q_pe, q_latent.dtype(), {tokens, heads * rope}, "q_pe");
    require(cache.rows, is_coded ? DType::u8 : q_latent.dtype(),
            {-1, is_coded ? latent_row_bytes(rank, rope) : rank + rope}, "cache");
    for (const LatentSequence& sequence : sequences) check_sequence(sequence, cache, tokens);
    return {.heads = heads, .rank = rank, .rope = rope, .scale = scale};
}

template <class T>
std::span<cpu::LatentTask<T>> tasks_of(Context& context, const cpu::LatentSizes& sizes,
                                       const Tensor& q_latent, const Tensor& q_pe,
                                       const LatentPages& cache,
                                       std::span<const LatentSequence> sequences, Tensor& u) {
    const auto tasks = context.workspace.take<cpu::LatentTask<T>>(int64_t(sequences.size()));
    const bool is_coded = cache.rows.dtype() == DType::u8;
    cpu::PagedKeys<T> keys = {.rows = {}, .codes = {}, .pages = nullptr, .shift = cache.shift};
    if (is_coded) {
        keys.codes = {cache.rows.data_as<uint8_t>(), cache.rows.row_stride()};
    } else {
        keys.rows = {cache.rows.data_as<T>(), cache.rows.row_stride()};
    }
    for (size_t s = 0; s < sequences.size(); ++s) {
        const LatentSequence& sequence = sequences[s];
        const int64_t first = sequence.first_query;
        keys.pages = sequence.pages.data();
        tasks[s] = {.sizes = sizes,
                    .q_latent = {q_latent.data_as<T>() + first * q_latent.row_stride(),
                                 q_latent.row_stride()},
                    .q_pe = {q_pe.data_as<T>() + first * q_pe.row_stride(), q_pe.row_stride()},
                    .keys = keys,
                    .u = {u.data_as<T>() + first * u.row_stride(), u.row_stride()},
                    .length = sequence.length,
                    .query_count = sequence.query_count};
    }
    return tasks;
}

/// Groups of rows with all their splits.
template <class T>
std::span<cpu::LatentPiece> groups_of(Workspace& workspace,
                                      std::span<const cpu::LatentTask<T>> tasks) {
    constexpr int64_t kRows = cpu::kLatentRows;
    int64_t count = 0;
    for (const auto& task : tasks)
        count += (task.query_count * task.sizes.heads + kRows - 1) / kRows;
    const auto groups = workspace.take<cpu::LatentPiece>(count);
    size_t next = 0;
    for (size_t s = 0; s < tasks.size(); ++s) {
        const int64_t rows = tasks[s].query_count * tasks[s].sizes.heads;
        for (int64_t first = 0; first < rows; first += kRows) {
            const int64_t row_count = std::min(kRows, rows - first);
            const int64_t seen = tasks[s].seen(first + row_count - 1);
            groups[next++] = {.sequence = int64_t(s),
                              .first_row = first,
                              .row_count = row_count,
                              .split = 0,
                              .split_end = cpu::latent_splits(seen)};
        }
    }
    return groups;
}

/// One thread takes all splits of a group.
template <Isa isa, class T>
void run_groups(Context& context, std::span<const cpu::LatentTask<T>> tasks,
                std::span<const cpu::LatentPiece> groups, std::span<std::byte> scratch) {
    const int64_t bytes = int64_t(scratch.size()) / context.threads.size();
    context.threads.parallel_ranges(
        int64_t(groups.size()), 1, [&](int64_t begin, int64_t end, int thread) {
            for (int64_t i = begin; i < end; ++i) {
                const cpu::LatentPiece& group = groups[size_t(i)];
                cpu::attention_latent_whole<isa>(tasks[size_t(group.sequence)], group,
                                                 scratch.data() + thread * bytes);
            }
        });
}

/// Every split is an item; then the rows are merged.
template <Isa isa, class T>
void run_splits(Context& context, std::span<const cpu::LatentTask<T>> tasks,
                std::span<const cpu::LatentPiece> groups, std::span<std::byte> scratch) {
    using S = cpu::Statistic<T>;
    const int64_t bytes = int64_t(scratch.size()) / context.threads.size();
    const int64_t partial = cpu::attention_latent_partial<isa, T>(tasks[0].sizes);
    int64_t splits = 0;
    for (const auto& group : groups) splits += group.split_end;
    const auto partials = context.workspace.take<S>(splits * partial);
    const auto pieces = context.workspace.take<cpu::LatentPiece>(splits);
    const auto first_pieces = context.workspace.take<int64_t>(int64_t(groups.size()));
    size_t next = 0;
    for (size_t g = 0; g < groups.size(); ++g) {
        first_pieces[g] = int64_t(next);
        for (int64_t split = 0; split < groups[g].split_end; ++split) {
            pieces[next] = groups[g];
            pieces[next++].split = split;
        }
    }
    // The last splits are the long ones: they come first, so that short ones fill what is left.
    context.threads.parallel_ranges(splits, 1, [&](int64_t begin, int64_t end, int thread) {
        for (int64_t j = begin; j < end; ++j) {
            const int64_t i = splits - 1 - j;
            const cpu::LatentPiece& piece = pieces[size_t(i)];
            cpu::attention_latent_split<isa>(tasks[size_t(piece.sequence)], piece,
                                             scratch.data() + thread * bytes,
                                             partials.data() + i * partial);
        }
    });
    // Rows are numbered through the groups: where each group's end.
    const auto ends = context.workspace.take<int64_t>(int64_t(groups.size()));
    int64_t rows = 0;
    for (size_t g = 0; g < groups.size(); ++g) ends[g] = rows += groups[g].row_count;
    const int64_t grain = std::clamp<int64_t>(rows / context.threads.size(), 1, 16);
    context.threads.parallel_ranges(rows, grain, [&](int64_t begin, int64_t end, int thread) {
        for (int64_t i = begin; i < end; ++i) {
            const auto g = size_t(std::ranges::upper_bound(ends, i) - ends.begin());
            const int64_t r = i - (ends[g] - groups[g].row_count);
            cpu::attention_latent_merge<isa>(tasks[size_t(groups[g].sequence)], groups[g], r,
                                             partials.data() + first_pieces[g] * partial,
                                             scratch.data() + thread * bytes);
        }
    });
}

template <Isa isa, class T>
void run(Context& context, std::span<const cpu::LatentTask<T>> tasks) {
    const auto groups = groups_of<T>(context.workspace, tasks);
    const cpu::LatentSizes& sizes = tasks[0].sizes;
    const int64_t bytes = cpu::attention_latent_scratch<isa, T>(sizes);
    const auto scratch = context.workspace.take<std::byte>(bytes * context.threads.size());
    int64_t splits = 0;
    for (const auto& group : groups) splits += group.split_end;
    const int64_t partial_bytes =
        splits * cpu::attention_latent_partial<isa, T>(sizes) * int64_t(sizeof(cpu::Statistic<T>));
    const int64_t count = int64_t(groups.size());
    const bool idle =
        context.threads.size() > 1 && count < 4 * context.threads.size() && splits > count;
    if (idle && partial_bytes <= kMostPartialBytes) {
        run_splits<isa, T>(context, tasks, groups, scratch);
    } else {
        run_groups<isa, T>(context, tasks, groups, scratch);
    }
}

}  // namespace

void attention_latent(Context& context, const Tensor& q_latent, const Tensor& q_pe,
                      const LatentPages& cache, std::span<const LatentSequence> sequences,
                      double scale, Tensor& u) {
    if (sequences.empty()) return;
    const cpu::LatentSizes sizes = sizes_of(q_latent, q_pe, cache, sequences, scale);
    require(u, q_latent.dtype(), q_latent.shape(), "u");
    const auto start = [&]<class T>() {
        const Workspace::Scope scope(context.workspace);
        const auto tasks = tasks_of<T>(context, sizes, q_latent, q_pe, cache, sequences, u);
        cpu::with_matmul_isa(context.isa, [&]<Isa isa>() { run<isa, T>(context, tasks); });
    };
    switch (q_latent.dtype()) {
        case DType::bf16:
            return start.template operator()<bf16>();
        case DType::f32:
            return start.template operator()<float>();
        case DType::f64:
            return start.template operator()<double>();
        default:
            throw Error(Error::Kind::internal, concat("attention of ", name(q_latent.dtype())));
    }
}

}  // namespace hadal::ops
