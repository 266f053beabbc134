#include "infer/page_pool.h"

#include <doctest/doctest.h>

#include <set>

using namespace hadal::infer;

TEST_CASE("page pool: every page is given once, then none") {
    PagePool pool(3);
    std::set<PageId> pages;
    for (int i = 0; i < 3; ++i) pages.insert(pool.take());
    CHECK(pages == std::set<PageId>{0, 1, 2});
    CHECK(pool.take() == kNoPage);
    CHECK(pool.free_pages() == 0);
}

TEST_CASE("page pool: a page is free when its last holder lets go, and is taken next") {
    PagePool pool(4);
    const PageId page = pool.take();
    pool.hold(page);
    pool.drop(page);
    CHECK(pool.holders(page) == 1);
    CHECK(pool.free_pages() == 3);
    pool.drop(page);
    CHECK(pool.holders(page) == 0);
    CHECK(pool.free_pages() == 4);
    CHECK(pool.take() == page);
}

TEST_CASE("page pool: a kept page is idle exactly while nobody else holds it") {
    PagePool pool(2);
    const PageId page = pool.take();
    pool.keep(page);
    CHECK(pool.idle_pages() == 0);
    pool.drop(page);
    CHECK(pool.is_idle(page));
    CHECK(pool.idle_pages() == 1);
    CHECK(pool.free_pages() == 1);
    pool.hold(page);
    CHECK(pool.idle_pages() == 0);
    pool.drop(page);
    pool.give_up(page);
    CHECK(pool.idle_pages() == 0);
    CHECK(pool.free_pages() == 2);
}

TEST_CASE("page pool: pages for a number of positions") {
    CHECK(pages_for(0) == 0);
    CHECK(pages_for(1) == 1);
    CHECK(pages_for(64) == 1);
    CHECK(pages_for(65) == 2);
}
