// Pages of the latent cache by the tokens they were computed from, so that a prompt finds what
// an earlier one computed. docs/engine.md, "Sharing prefixes".
//
// A node is one page; its key is the form of attention that computed it and the page's tokens, 64
// or, at a leaf, fewer, below its parent's.
// Children are kept in the order of their tokens: the child that shares the longest beginning is a
// neighbour of the place where the tokens would stand.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <vector>

#include "infer/page_pool.h"

namespace hadal::infer {

class PrefixTree {
  public:
    /// `pool` must outlive the tree.
    explicit PrefixTree(PagePool& pool) : pool_(pool) {}
    ~PrefixTree();
    PrefixTree(const PrefixTree&) = delete;
    PrefixTree& operator=(const PrefixTree&) = delete;

    struct Match {
        std::vector<PageId> pages;   // whole pages from position 0, each held for the caller
        PageId partial = kNoPage;    // the page whose first rows come next, held too, to copy from
        int64_t partial_tokens = 0;  // so many of them
        /// Positions found.
        int64_t tokens() const {
            return int64_t(pages.size()) * kPageTokens + partial_tokens;
        }
    };
    /// Tokens, and what else decides whose pages may stand for theirs.
    struct Path {
        std::span<const int32_t> tokens;
        uint64_t domain = 0;   // keeps apart what must not be shared: tenants
        int64_t expanded = 0;  // positions below were computed in expanded form: whole pages, or
                               // all of them
    };
    /// The longest known beginning.
    Match find(const Path& path);

    /// Enters `pages`, which hold the rows of the path's tokens; the last may be partly filled, and
    /// must not be written any more. Where the tree has a page for the same tokens, the caller's is
    /// given back and replaced by it: the rows are the same. Afterwards the caller and the tree
    /// both hold each.
    void insert(const Path& path, std::span<PageId> pages);

    /// Gives up the page used longest ago of those that nobody else holds and that have no
    /// children; false if there is none.
    bool evict();
    /// Gives up every page.
    void clear();

    /// Pages the tree holds.
    int64_t pages() const {
        return pages_;
    }

  private:
    using Tokens = std::vector<int32_t>;
    struct Before {
        using is_transparent = void;
        bool operator()(std::span<const int32_t> a, std::span<const int32_t> b) const;
    };
    struct Node {
        Node* parent = nullptr;
        uint64_t domain = 0;             // of a node without a parent
        bool is_expanded = false;        // which of its parent's children it is among
        const Tokens* tokens = nullptr;  // the key among its siblings
        PageId page = kNoPage;
        uint64_t used = 0;  // time of the last find or insert that passed here
        std::array<std::map<Tokens, std::unique_ptr<Node>, Before>, 2> families;  // by form
    };
    using Families = decltype(Node::families);
    using Children = Families::value_type;
    struct Older {
        bool operator()(const Node* a, const Node* b) const {
            return a->used < b->used;
        }
    };

    Families& families_around(const Node& node);
    void touch(Node& node);
    static std::pair<const Node*, int64_t> longest_beginning(const Children& children,
                                                             std::span<const int32_t> tokens);

    PagePool& pool_;
    std::map<uint64_t, Families> roots_;
    std::set<Node*, Older> leaves_;
    uint64_t time_ = 0;  // grows with every touch, so that no two nodes have the same
    int64_t pages_ = 0;
};

}  // namespace hadal::infer
