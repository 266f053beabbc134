// The pages that the binary carries: built from web/, one HTML file each, with script and style
// inside (docs/web.md).
#pragma once

#include <span>
#include <string_view>

namespace hadal::serve {

struct Page {
    std::string_view name;  // "chat", "plan"
    std::string_view html;  // text/html; charset=utf-8
    /// Value of the header Content-Security-Policy that has to go with it. It permits this page's
    /// own script and style by their hashes, requests to this server, and nothing else.
    std::string_view content_security_policy;
};

extern const std::span<const Page> kPages;

/// A page that is not there is our own mistake.
const Page& page(std::string_view name);

}  // namespace hadal::serve
