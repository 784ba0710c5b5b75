# SPDX-License-Identifier: Apache-2.0
# What every target shares: warnings, sanitizers, dependencies, and three short verbs to declare a
# library, a binary or a test.

include(Precompiled)

find_program(CCACHE ccache)
if(CCACHE)
  set(_ccache ${CCACHE})
  if(KEELSON_PCH)
    # Without pch_defines ccache gives up on users of precompiled headers. A stored one may be used for
    # the very same headers only, comments included: GCC knows a #pragma once file in it by its bytes.
    # So a hit is found by the files read (depend mode), never by preprocessed text; the namespace
    # leaves aside what was stored under other rules.
    set(_ccache ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros CCACHE_DEPEND=1
      CCACHE_NAMESPACE=keelson-depend ${CCACHE})
  endif()
  set(CMAKE_CXX_COMPILER_LAUNCHER ${_ccache})
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
endif()

find_package(Threads REQUIRED)
find_package(Protobuf REQUIRED)
find_package(absl REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(yaml-cpp REQUIRED)
find_program(GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)
pkg_check_modules(CJSON REQUIRED IMPORTED_TARGET libcjson)
pkg_check_modules(LIBNL REQUIRED IMPORTED_TARGET libnl-3.0 libnl-route-3.0)
pkg_check_modules(LIBSYSTEMD REQUIRED IMPORTED_TARGET libsystemd)
pkg_check_modules(LIBSECCOMP REQUIRED IMPORTED_TARGET libseccomp)

# -Werror is ours alone: generated code and system headers are not ours to mend.
add_library(keelson_flags INTERFACE)
target_compile_options(keelson_flags INTERFACE -Wall -Wextra -Werror -fno-plt
  -ffunction-sections -fdata-sections)
target_include_directories(keelson_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_link_options(keelson_flags INTERFACE -Wl,--gc-sections -Wl,-z,relro,-z,now)
target_compile_definitions(keelson_flags INTERFACE KEELSON_VERSION="${PROJECT_VERSION}")
if(KEELSON_PCH)
  target_compile_options(keelson_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>)  # for ccache
endif()

# boost::asio is compiled once, in base/asio.cc.
add_library(keelson_asio INTERFACE)
target_compile_definitions(keelson_asio INTERFACE BOOST_ASIO_SEPARATE_COMPILATION
  BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_DISABLE_VISIBILITY)
# GCC 12 takes the frame allocator of asio's awaitables for a mismatch once it inlines (-O2).
target_compile_options(keelson_asio INTERFACE -Wno-mismatched-new-delete)

find_program(MOLD ld.mold)
find_program(LLD ld.lld)
if(LLD)
  add_link_options(-fuse-ld=lld)
endif()

if(KEELSON_SANITIZE)
  if(KEELSON_SANITIZE STREQUAL "address")
    # AddressSanitizer sees bad pointers when they are used; asking before costs a third of the build.
    set(_san -fsanitize=address,undefined -fno-sanitize-recover=undefined
      -fno-sanitize=null,alignment,vptr,object-size)
  else()
    set(_san -fsanitize=${KEELSON_SANITIZE})
  endif()
  # What GCC 12 warns of after inlining has false positives under sanitizers; release builds, which
  # inline most, keep these as errors.
  add_compile_options(${_san} -fno-omit-frame-pointer -Wno-maybe-uninitialized
    -Wno-error=stringop-overflow -Wno-error=stringop-overread -Wno-error=array-bounds
    -Wno-error=restrict)
  add_link_options(${_san})
endif()

# keelson_library(NAME [SOURCES ...] [DEPS ...])
function(keelson_library name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${A_SOURCES})
  target_link_libraries(${name} PUBLIC keelson_flags ${A_DEPS})
  keelson_precompiled(${name} lib)
endfunction()

# keelson_binary(NAME [SOURCES ...] [DEPS ...])
function(keelson_binary name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE keelson_flags ${A_DEPS})
  keelson_precompiled(${name} lib)
endfunction()

# keelson_test(NAME LABEL unit|integration|simulation|fuzz|vm|bench SOURCES ... [DEPS ...] [TIMEOUT s])
function(keelson_test name)
  cmake_parse_arguments(A "" "LABEL;TIMEOUT" "SOURCES;DEPS;ARGS" ${ARGN})
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 120)
  endif()
  find_package(GTest REQUIRED)
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE keelson_flags ${A_DEPS} GTest::gtest GTest::gmock GTest::gtest_main)
  # Nobody waits for a test's own code, but everybody for the compiler.
  target_compile_options(${name} PRIVATE -O0)
  keelson_precompiled(${name} test)
  add_test(NAME ${name} COMMAND ${name} ${A_ARGS})
  set_tests_properties(${name} PROPERTIES LABELS "${A_LABEL}" TIMEOUT ${A_TIMEOUT})
  if(A_LABEL STREQUAL "integration")
    # They share one kernel's links, rules and cgroups, and some measure time: one at once.
    set_tests_properties(${name} PROPERTIES RESOURCE_LOCK node)
  endif()
  add_dependencies(tests ${name})
endfunction()
