# The build's few rules: one static library a room, one test program a room, one set of warnings for all.

option(QLM_BUILD_TESTS "build the tests" ON)
option(QLM_FUZZ "build the libFuzzer targets (clang only)" OFF)
set(QLM_SANITIZE "" CACHE STRING "sanitizers for everything, as -fsanitize= takes them")

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

find_program(QLM_CCACHE ccache)
if(QLM_CCACHE)
  # What was compiled in one checkout serves the next one, wherever it lies.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${QLM_CCACHE})
endif()

add_compile_options(-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Werror -Wno-missing-field-initializers -Wno-sign-conversion
                    -ffp-contract=off -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  add_compile_options(-Wno-restrict)  # GCC 12 sees overlaps in std::string's own concatenation (bug 105651)
else()
  add_compile_options(-Wno-deprecated-declarations)  # libstdc++ 12 sorts stably by a function it deprecated itself
endif()
if(QLM_SANITIZE)
  # vptr opens a pipe to look at memory: without descriptors, which some tests bring about, it takes every object for a wrong one.
  add_compile_options(-fsanitize=${QLM_SANITIZE} -fno-sanitize=vptr -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${QLM_SANITIZE})
  # GCC 12 reports false positives from these two when it also instruments.
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wno-maybe-uninitialized -Wno-stringop-overflow)
  endif()
endif()

# qlm_room(core/domain SOURCES a.cpp b.cpp USES base fmt::fmt)
# A room is the static library qlm_core_domain; USES names other rooms by folder, or outside targets as they are.
function(qlm_room folder)
  cmake_parse_arguments(ARG "" "" "SOURCES;USES" ${ARGN})
  string(REPLACE "/" "_" target "qlm_${folder}")
  if(ARG_SOURCES)
    add_library(${target} STATIC ${ARG_SOURCES})
    set(scope PUBLIC)
  else()
    add_library(${target} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(${target} ${scope} ${CMAKE_SOURCE_DIR}/src)
  qlm_use(${target} ${scope} ${ARG_USES})
endfunction()

function(qlm_use target scope)
  foreach(used IN LISTS ARGN)
    if(used MATCHES "::" OR TARGET ${used})
      target_link_libraries(${target} ${scope} ${used})
    else()
      string(REPLACE "/" "_" library "qlm_${used}")
      target_link_libraries(${target} ${scope} ${library})
    endif()
  endforeach()
endfunction()

# qlm_test(base SOURCES time_test.cpp USES base): one program of GoogleTest cases, each known to ctest by its own name.
function(qlm_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;USES" ${ARGN})
  string(REPLACE "/" "_" target "test_${name}")
  add_executable(${target} ${ARG_SOURCES})
  qlm_use(${target} PRIVATE ${ARG_USES})
  target_link_libraries(${target} PRIVATE GTest::gtest_main)
  gtest_discover_tests(${target} DISCOVERY_TIMEOUT 120 PROPERTIES TIMEOUT 300)
endfunction()

# qlm_fuzz(http_heads SOURCE http_heads.cpp USES protocol/http): with clang a libFuzzer program; always a plain driver
# that replays the kept inputs in tests/fuzz/corpus/<name> as a test.
function(qlm_fuzz name)
  cmake_parse_arguments(ARG "" "" "SOURCE;USES" ${ARGN})
  add_executable(replay_${name} ${ARG_SOURCE} ${CMAKE_SOURCE_DIR}/tests/fuzz/replay.cpp)
  qlm_use(replay_${name} PRIVATE ${ARG_USES})
  add_test(NAME fuzz.${name}.replay
           COMMAND replay_${name} ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name})
  if(QLM_FUZZ)
    add_executable(fuzz_${name} ${ARG_SOURCE})
    qlm_use(fuzz_${name} PRIVATE ${ARG_USES})
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  endif()
endfunction()
