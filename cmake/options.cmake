# Compiler and linker settings that hold for every target.
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

find_program(HADAL_CCACHE ccache)
if(HADAL_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${HADAL_CCACHE})
endif()

add_library(hadal_options INTERFACE)
target_include_directories(hadal_options INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_options(hadal_options INTERFACE -Wall -Wextra -Wconversion -Wno-sign-conversion
                       -Wno-psabi -Wno-ignored-attributes)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(hadal_options INTERFACE -Wno-restrict)  # GCC bug 105651: false alarms in std::string
endif()
# No silent change of rounding: a contraction into fused multiply-add happens only where a kernel writes one.
target_compile_options(hadal_options INTERFACE -ffp-contract=off -fno-math-errno)
if(HADAL_WERROR)
  target_compile_options(hadal_options INTERFACE -Werror)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  # Symbols for stack traces and profiles; the release binary is stripped on installation only.
  target_compile_options(hadal_options INTERFACE -g1)
endif()
if(HADAL_SANITIZE)
  target_compile_options(hadal_options INTERFACE -fsanitize=${HADAL_SANITIZE} -fno-omit-frame-pointer
                         -fno-sanitize-recover=all)
  target_link_options(hadal_options INTERFACE -fsanitize=${HADAL_SANITIZE})
endif()
if(HADAL_FUZZ)
  target_compile_options(hadal_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
