// Boost.Asio's own code, compiled once: everything else includes its declarations only.
#include <boost/asio/impl/src.hpp>
#include <boost/asio/ssl/impl/src.hpp>
