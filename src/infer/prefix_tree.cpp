#include "infer/prefix_tree.h"

#include <algorithm>

namespace hadal::infer {

namespace {

int64_t common_beginning(std::span<const int32_t> a, std::span<const int32_t> b) {
    return std::ranges::mismatch(a, b).in1 - a.begin();
}

}  // namespace

bool PrefixTree::Before::operator()(std::span<const int32_t> a, std::span<const int32_t> b) const {
    return std::ranges::lexicographical_compare(a, b);
}

PrefixTree::~PrefixTree() {
    clear();
}

PrefixTree::Families& PrefixTree::families_around(const Node& node) {
    return node.parent != nullptr ? node.parent->families : roots_.at(node.domain);
}

/// Makes it the newest; children are touched after their parents and so are always newer.
void PrefixTree::touch(Node& node) {
    const bool is_leaf = leaves_.erase(&node) > 0;
    node.used = ++time_;
    if (is_leaf) leaves_.insert(&node);
}

std::pair<const PrefixTree::Node*, int64_t> PrefixTree::longest_beginning(
    const Children& children, std::span<const int32_t> tokens) {
    std::pair<const Node*, int64_t> best = {nullptr, 0};
    const auto consider = [&](Children::const_iterator child) {
        const int64_t common = common_beginning(child->first, tokens);
        if (common > best.second) best = {child->second.get(), common};
    };
    const auto next = children.lower_bound(tokens);
    if (next != children.end()) consider(next);
    if (next != children.begin()) consider(std::prev(next));
    return best;
}

PrefixTree::Match PrefixTree::find(const Path& path) {
    Match match;
    const auto root = roots_.find(path.domain);
    if (root == roots_.end()) return match;
    const Families* families = &root->second;
    std::span<const int32_t> tokens = path.tokens;
    const auto family = [&] { return size_t(match.tokens() < path.expanded ? 1 : 0); };
    while (int64_t(tokens.size()) >= kPageTokens) {
        const Children& children = (*families)[family()];
        const auto child = children.find(tokens.first(size_t(kPageTokens)));
        if (child == children.end()) break;
        Node& node = *child->second;
        touch(node);
        pool_.hold(node.page);
        match.pages.push_back(node.page);
        tokens = tokens.subspan(size_t(kPageTokens));
        families = &node.families;
    }
    const auto [node, common] = longest_beginning((*families)[family()], tokens);
    if (node != nullptr) {
        pool_.hold(node->page);
        match.partial = node->page;
        match.partial_tokens = common;
    }
    return match;
}

void PrefixTree::insert(const Path& path, std::span<PageId> pages) {
    Families* families = &roots_[path.domain];
    std::span<const int32_t> tokens = path.tokens;
    Node* parent = nullptr;
    for (size_t i = 0; !tokens.empty(); ++i) {
        const bool is_expanded = int64_t(i) * kPageTokens < path.expanded;
        Children& children = (*families)[is_expanded ? 1 : 0];
        const auto key = tokens.first(std::min(tokens.size(), size_t(kPageTokens)));
        auto child = children.find(key);
        if (child == children.end()) {
            auto node = std::make_unique<Node>();
            node->parent = parent;
            node->domain = path.domain;
            node->is_expanded = is_expanded;
            node->page = pages[i];
            node->used = ++time_;
            pool_.keep(pages[i]);
            ++pages_;
            if (parent != nullptr) leaves_.erase(parent);
            leaves_.insert(node.get());
            child = children.emplace(Tokens(key.begin(), key.end()), std::move(node)).first;
            child->second->tokens = &child->first;
        } else {
            touch(*child->second);
            const PageId known = child->second->page;
            if (known != pages[i]) {
                pool_.hold(known);
                pool_.drop(pages[i]);
                pages[i] = known;
            }
        }
        parent = child->second.get();
        families = &parent->families;
        tokens = tokens.subspan(key.size());
    }
}

bool PrefixTree::evict() {
    const auto leaf =
        std::ranges::find_if(leaves_, [&](const Node* node) { return pool_.is_idle(node->page); });
    if (leaf == leaves_.end()) return false;
    Node* node = *leaf;
    leaves_.erase(leaf);
    pool_.give_up(node->page);
    --pages_;
    Node* parent = node->parent;
    Families& families = families_around(*node);
    const uint64_t domain = node->domain;
    Children& siblings = families[node->is_expanded ? 1 : 0];
    siblings.erase(siblings.find(*node->tokens));
    if (families[0].empty() && families[1].empty()) {
        if (parent != nullptr) {
            leaves_.insert(parent);
        } else {
            roots_.erase(domain);
        }
    }
    return true;
}

void PrefixTree::clear() {
    const auto drop_all = [this](const auto& self, const Families& families) -> void {
        for (const Children& children : families) {
            for (const auto& [tokens, node] : children) {
                pool_.give_up(node->page);
                self(self, node->families);
            }
        }
    };
    for (const auto& [domain, families] : roots_) drop_all(drop_all, families);
    leaves_.clear();
    roots_.clear();
    pages_ = 0;
}

}  // namespace hadal::infer
