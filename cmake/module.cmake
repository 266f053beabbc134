# hadal_module(NAME DEPENDS a b …): the library of one folder under src/. DEPENDS are the arrows of docs/architecture.md.
function(hadal_module name)
  cmake_parse_arguments(arg "" "" "DEPENDS;LIBRARIES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/main\\.cpp$")  # a program, not a part of the library
  if(NOT sources)  # headers only
    file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/empty.cpp "")
    set(sources ${CMAKE_CURRENT_BINARY_DIR}/empty.cpp)
  endif()
  add_library(hadal_${name} STATIC ${sources})
  set_target_properties(hadal_${name} PROPERTIES LINKER_LANGUAGE CXX)
  target_link_libraries(hadal_${name} PUBLIC hadal_options ${arg_LIBRARIES})
  foreach(dependency IN LISTS arg_DEPENDS)
    if(EXISTS ${CMAKE_SOURCE_DIR}/src/${dependency}/CMakeLists.txt)
      target_link_libraries(hadal_${name} PUBLIC hadal_${dependency})
    endif()
  endforeach()
endfunction()

# hadal_isa_kernels(NAME): compiles this folder's cpu/*.cpp once per vector instruction set into hadal_NAME.
# Such a file defines templates on Isa and instantiates them for HADAL_THIS_ISA. It includes nothing but
# "ops/cpu/…" and freestanding headers, so that no inline function of ours or of the standard library is ever
# emitted with instructions that the running machine may lack.
function(hadal_isa_kernels name)
  set(flags_portable "")
  set(isas portable)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    list(APPEND isas avx2 avx512 amx)
  endif()
  set(flags_avx2 -mavx2 -mfma -mf16c -mbmi2)
  set(flags_avx512 ${flags_avx2} -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vbmi -mavx512bf16
                   -mavx512vnni -mgfni -mprefer-vector-width=512)
  set(flags_amx ${flags_avx512} -mamx-tile -mamx-bf16 -mamx-int8)
  file(GLOB kernels CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/cpu/*.cpp)
  foreach(isa IN LISTS isas)
    set(selected ${kernels})
    if(isa STREQUAL amx)  # only matrix products and attention have tile kernels; every other operator uses avx512
      list(FILTER selected INCLUDE REGEX "/(matmul|attention)[a-z_0-9]*\\.cpp$")
    endif()
    if(NOT selected)
      continue()
    endif()
    add_library(hadal_${name}_${isa} OBJECT ${selected})
    target_link_libraries(hadal_${name}_${isa} PRIVATE hadal_options)
    # GCC 12's own headers of AVX-512 trip its warning about uninitialised values (GCC bug 105593).
    target_compile_options(hadal_${name}_${isa} PRIVATE ${flags_${isa}} -O3 -Wno-uninitialized
                           $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
    target_compile_definitions(hadal_${name}_${isa} PRIVATE HADAL_THIS_ISA=${isa})
    target_sources(hadal_${name} PRIVATE $<TARGET_OBJECTS:hadal_${name}_${isa}>)
  endforeach()
endfunction()
