# The built pages of web/ as C++: kPages of serve/page.h.
set(table "")
foreach(name IN ITEMS chat plan)
  foreach(part IN ITEMS html csp)
    set(file ${CMAKE_CURRENT_SOURCE_DIR}/page/${name}.${part})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    file(READ ${file} ${part})
  endforeach()
  string(APPEND table "    {\"${name}\", R\"_page_(${html})_page_\"sv, \"${csp}\"sv},\n")
endforeach()
file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/embedded_pages.cpp @ONLY CONTENT
"#include \"serve/page.h\"

namespace hadal::serve {
namespace {
using namespace std::string_view_literals;  // which carry their length
constexpr Page kTable[] = {
@table@};
}
extern const std::span<const Page> kPages(kTable);
}
")
