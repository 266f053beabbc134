#include "text/piece_counts.h"

#include <algorithm>
#include <functional>
#include <string>
#include <unordered_map>

namespace hadal::text {
namespace {

constexpr size_t kPartBytes = 1 << 18;  // a task's share of a document

using Counts = std::unordered_map<std::string_view, int64_t>;

/// Pieces are spread over so many tables by their hash: each is then merged by one task.
constexpr size_t kTables = 16;

size_t table_of(std::string_view piece) {
    return std::hash<std::string_view>()(piece) / 64 % kTables;
}

std::vector<std::string_view> cut(const Pretokenizer& pretokenizer,
                                  std::span<const std::string_view> documents) {
    std::vector<std::string_view> parts;
    for (std::string_view document : documents) {
        while (!document.empty()) {
            const size_t end = document.size() <= kPartBytes
                                   ? document.size()
                                   : pretokenizer.safe_cut(document, kPartBytes);
            parts.push_back(document.substr(0, end));
            document.remove_prefix(end);
        }
    }
    return parts;
}

}  // namespace

std::vector<PieceCount> count_pieces(ThreadPool& threads, const Pretokenizer& pretokenizer,
                                     std::span<const std::string_view> documents) {
    const std::vector<std::string_view> parts = cut(pretokenizer, documents);
    // [thread · kTables + table]
    std::vector<Counts> counts(size_t(threads.size()) * kTables);
    threads.parallel_ranges(int64_t(parts.size()), 1, [&](int64_t begin, int64_t end, int thread) {
        std::vector<std::string_view> pieces;
        for (int64_t part = begin; part < end; ++part) {
            pieces.clear();
            pretokenizer.split(parts[part], pieces);
            for (const std::string_view piece : pieces) {
                ++counts[size_t(thread) * kTables + table_of(piece)][piece];
            }
        }
    });
    std::vector<std::vector<PieceCount>> tables(kTables);
    threads.parallel_for(int64_t(kTables), [&](int64_t table) {
        Counts& all = counts[size_t(table)];
        for (int thread = 1; thread < threads.size(); ++thread) {
            Counts& some = counts[size_t(thread) * kTables + size_t(table)];
            for (const auto& [piece, count] : some) all[piece] += count;
            some = {};
        }
        for (const auto& [piece, count] : all) tables[size_t(table)].push_back({piece, count});
        all = {};
    });
    std::vector<PieceCount> pieces;
    for (const std::vector<PieceCount>& table : tables) {
        pieces.insert(pieces.end(), table.begin(), table.end());
    }
    std::sort(pieces.begin(), pieces.end(),
              [](const PieceCount& a, const PieceCount& b) { return a.piece < b.piece; });
    return pieces;
}

}  // namespace hadal::text
