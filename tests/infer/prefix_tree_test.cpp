#include "infer/prefix_tree.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "core/random.h"

using namespace hadal;
using namespace hadal::infer;

namespace {

std::vector<int32_t> tokens_of(int64_t count, int32_t first) {
    std::vector<int32_t> tokens;
    for (int64_t i = 0; i < count; ++i) tokens.push_back(int32_t(first + i));
    return tokens;
}

std::vector<PageId> take(PagePool& pool, int64_t count) {
    std::vector<PageId> pages;
    for (int64_t i = 0; i < count; ++i) pages.push_back(pool.take());
    return pages;
}

void let_go(PagePool& pool, const PrefixTree::Match& match) {
    for (const PageId page : match.pages) pool.drop(page);
    if (match.partial != kNoPage) pool.drop(match.partial);
}

}  // namespace

TEST_CASE("prefix tree: finds whole pages, and the beginning of the next") {
    PagePool pool(8);
    PrefixTree tree(pool);
    const auto tokens = tokens_of(150, 0);
    auto pages = take(pool, 3);
    tree.insert({std::span(tokens).first(128)}, std::span(pages).first(2));
    CHECK(tree.pages() == 2);
    CHECK(pool.holders(pages[0]) == 2);

    auto asked = tokens;
    auto match = tree.find({asked});
    CHECK(match.pages == std::vector<PageId>{pages[0], pages[1]});
    CHECK(match.partial == kNoPage);
    CHECK(pool.holders(pages[1]) == 3);
    let_go(pool, match);

    asked[100] = -1;
    match = tree.find({asked});
    CHECK(match.pages == std::vector<PageId>{pages[0]});
    CHECK(match.partial == pages[1]);
    CHECK(match.partial_tokens == 36);
    CHECK(match.tokens() == 100);
    let_go(pool, match);

    match = tree.find({std::span(tokens).first(10)});
    CHECK(match.pages.empty());
    CHECK(match.partial_tokens == 10);
    let_go(pool, match);
}

TEST_CASE("prefix tree: a page that is not full is found by its beginning, never as a whole page") {
    PagePool pool(8);
    PrefixTree tree(pool);
    const auto tokens = tokens_of(150, 0);
    auto pages = take(pool, 3);
    tree.insert({tokens}, pages);
    CHECK(tree.pages() == 3);
    const auto asked = tokens_of(200, 0);
    const auto match = tree.find({asked});
    CHECK(match.pages == std::vector<PageId>{pages[0], pages[1]});
    CHECK(match.partial == pages[2]);
    CHECK(match.partial_tokens == 22);
    let_go(pool, match);
}

TEST_CASE("prefix tree: of several continuations the longest common beginning is found") {
    PagePool pool(8);
    PrefixTree tree(pool);
    std::map<int32_t, PageId> page_of;
    for (const int32_t differing : {5, 20, 40}) {
        auto tokens = tokens_of(64, 0);
        for (int32_t i = differing; i < 64; ++i) tokens[size_t(i)] = 1000 + (differing % 3) * 100;
        auto pages = take(pool, 1);
        tree.insert({tokens}, pages);
        page_of[differing] = pages[0];
    }
    for (const auto& [common, page] : page_of) {
        auto asked = tokens_of(64, 0);
        for (int32_t i = common; i < 64; ++i) asked[size_t(i)] = 1000 + (common % 3) * 100;
        asked.back() = 7;
        const auto match = tree.find({asked});
        CHECK(match.partial == page);
        CHECK(match.partial_tokens == 63);
        let_go(pool, match);
    }
}

TEST_CASE("prefix tree: domains do not see each other") {
    PagePool pool(4);
    PrefixTree tree(pool);
    const auto tokens = tokens_of(64, 0);
    auto pages = take(pool, 1);
    tree.insert({tokens, 1}, pages);
    CHECK(tree.find({tokens, 2}).tokens() == 0);
    const auto match = tree.find({tokens, 1});
    CHECK(match.tokens() == 64);
    let_go(pool, match);
}

TEST_CASE("prefix tree: the same tokens twice keep one page") {
    PagePool pool(4);
    PrefixTree tree(pool);
    const auto tokens = tokens_of(64, 0);
    auto first = take(pool, 1), second = take(pool, 1);
    const PageId kept = first[0], given_back = second[0];
    tree.insert({tokens}, first);
    tree.insert({tokens}, second);
    CHECK(second[0] == kept);
    CHECK(pool.holders(kept) == 3);
    CHECK(pool.holders(given_back) == 0);
    CHECK(tree.pages() == 1);
}

TEST_CASE(
    "prefix tree: gives up what was used longest ago, children before parents, never what is "
    "held") {
    PagePool pool(8);
    PrefixTree tree(pool);
    auto a = take(pool, 2), b = take(pool, 1);
    tree.insert({tokens_of(128, 0)}, a);
    tree.insert({tokens_of(64, 500)}, b);
    for (const PageId page : {a[0], a[1]}) pool.drop(page);  // b's sequence still runs

    CHECK(tree.evict());
    CHECK(pool.holders(a[1]) == 0);  // the child, although its parent is older
    CHECK(tree.evict());
    CHECK(pool.holders(a[0]) == 0);
    CHECK_FALSE(tree.evict());
    CHECK(pool.holders(b[0]) == 2);
    pool.drop(b[0]);
    CHECK(tree.evict());
    CHECK(pool.free_pages() == 8);
    CHECK(tree.pages() == 0);
}

TEST_CASE("prefix tree: pages computed in another form of attention are other pages") {
    PagePool pool(8);
    PrefixTree tree(pool);
    const auto tokens = tokens_of(160, 0);
    auto mixed = take(pool, 3), absorbed = take(pool, 3);
    tree.insert({tokens, 0, /*expanded=*/64}, mixed);
    tree.insert({tokens}, absorbed);
    CHECK(tree.pages() == 6);
    const auto found = [&](int64_t expanded) {
        const auto match = tree.find({tokens, 0, expanded});
        let_go(pool, match);
        std::vector<PageId> pages = match.pages;
        if (match.partial != kNoPage) pages.push_back(match.partial);
        return pages;
    };
    CHECK(found(0) == absorbed);
    CHECK(found(64) == mixed);
    CHECK(found(128) == std::vector<PageId>{mixed[0]});
    for (const PageId page : mixed) pool.drop(page);
    for (const PageId page : absorbed) pool.drop(page);
    for (int i = 0; i < 6; ++i) CHECK(tree.evict());
    CHECK(pool.free_pages() == 8);
}

TEST_CASE("prefix tree: a find makes a branch new again") {
    PagePool pool(8);
    PrefixTree tree(pool);
    auto a = take(pool, 1), b = take(pool, 1);
    tree.insert({tokens_of(64, 0)}, a);
    tree.insert({tokens_of(64, 500)}, b);
    pool.drop(a[0]);
    pool.drop(b[0]);
    let_go(pool, tree.find({tokens_of(64, 0)}));
    CHECK(tree.evict());
    CHECK(pool.holders(a[0]) == 1);
    CHECK(pool.holders(b[0]) == 0);
}

TEST_CASE("prefix tree: random use agrees with a plain list of everything entered") {
    RandomSequence random(11);
    PagePool pool(64);
    PrefixTree tree(pool);
    std::map<std::vector<int32_t>, PageId> entered;  // prefix → page
    for (int round = 0; round < 2000; ++round) {
        std::vector<int32_t> tokens;  // few letters a page, so that beginnings are shared
        const auto last = int64_t(random.below(2) * random.below(40));  // of a page not full
        for (uint64_t page = random.below(4); page > 0; --page) {
            const auto letter = int32_t(random.below(3));
            for (int64_t i = 0; i < kPageTokens; ++i) {
                tokens.push_back(i < 40 ? letter
                                        : letter + int32_t(random.below(2)) * int32_t(i % 2));
            }
        }
        for (int64_t i = 0; i < last; ++i) tokens.push_back(int32_t(i % 3));
        if (random.below(3) == 0 && pool.free_pages() >= 4) {
            auto pages = take(pool, pages_for(int64_t(tokens.size())));
            tree.insert({tokens}, pages);
            for (size_t i = 0; i < pages.size(); ++i) {
                const auto end =
                    tokens.begin() + std::min(int64_t(i + 1) * kPageTokens, int64_t(tokens.size()));
                const auto known =
                    entered.emplace(std::vector(tokens.begin(), end), pages[i]).first;
                REQUIRE(known->second == pages[i]);
                pool.drop(pages[i]);
            }
        } else if (random.below(3) == 0) {
            const bool freed = tree.evict();
            REQUIRE(freed == !entered.empty());
            std::erase_if(entered, [&](const auto& e) { return pool.holders(e.second) == 0; });
        } else {
            const auto match = tree.find({tokens});
            int64_t longest = 0;
            for (const auto& [prefix, page] : entered) {
                const auto mismatch = std::ranges::mismatch(prefix, tokens).in1 - prefix.begin();
                longest = std::max<int64_t>(longest, mismatch);
            }
            REQUIRE(match.tokens() == longest);
            for (size_t i = 0; i < match.pages.size(); ++i) {
                const auto end = tokens.begin() + int64_t(i + 1) * kPageTokens;
                REQUIRE(entered.at(std::vector(tokens.begin(), end)) == match.pages[i]);
            }
            let_go(pool, match);
        }
        REQUIRE(pool.idle_pages() == tree.pages());
        REQUIRE(pool.free_pages() + tree.pages() == pool.size());
    }
}
