# SPDX-License-Identifier: Apache-2.0
# Precompiled headers, where they pay: what speaks protobuf or runs on the loop spends more than half
# of its compile time in the same headers (docs/building.md has the figures). Two exist, one for
# libraries and one for tests, and everything in the rooms below shares them.
#
# A source must still include what it uses: builds without are there to tell.
option(KEELSON_PCH "Share precompiled headers between targets" OFF)

set(KEELSON_PCH_ROOMS "^(cri|csi|probes|kubelet|tools|test/apiserver|test/simulation)(/|$)|\
^test/unit/(auth|certificates|client|cluster|cri|csi|kubelet|kubelet-options|logs|node|probes|proto|server|sources|stats|tools)$|\
^test/integration/(agent|cri|lib|nodectl|server|sources|stats)$")

# GCC checks that user and header were compiled alike, so both carriers have the users' definitions.
function(_keelson_pch_carrier name)
  cmake_parse_arguments(A "" "" "HEADERS;DEPS" ${ARGN})
  file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/${name}.cc CONTENT "// Carries a precompiled header.\n")
  add_library(${name} STATIC ${CMAKE_BINARY_DIR}/${name}.cc)
  target_link_libraries(${name} PRIVATE keelson_flags keelson_base keelson_cri_proto keelson_proto ${A_DEPS})
  list(TRANSFORM A_HEADERS REPLACE "^(.+)$" "$<$<COMPILE_LANGUAGE:CXX>:\\1>")
  target_precompile_headers(${name} PRIVATE ${A_HEADERS})
endfunction()

# Lets target NAME of this folder use the precompiled headers of KIND, lib or test.
function(keelson_precompiled name kind)
  file(RELATIVE_PATH room ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
  if(NOT KEELSON_PCH OR NOT room MATCHES "${KEELSON_PCH_ROOMS}")
    return()
  endif()
  set(headers <algorithm> <chrono> <functional> <map> <memory> <optional> <set> <string>
    <string_view> <vector> "\"absl/status/statusor.h\"" "\"base/loop.h\"" "\"proto/cri/api.pb.h\""
    "\"proto/k8s/pod.pb.h\"")
  if(NOT TARGET keelson_pch_${kind})
    if(kind STREQUAL "test")
      find_package(GTest REQUIRED)
      _keelson_pch_carrier(keelson_pch_test HEADERS ${headers} <gmock/gmock.h> <gtest/gtest.h>
        DEPS GTest::gtest GTest::gmock)
      target_compile_options(keelson_pch_test PRIVATE -O0)  # as tests are
    else()
      _keelson_pch_carrier(keelson_pch_lib HEADERS ${headers})
    endif()
  endif()
  target_link_libraries(${name} PRIVATE keelson_base)
  # GCC 12 has false positives in std::string's operator+ (its bugs 105329, 105651) that depend on what
  # was inlined before; builds without precompiled headers keep these warnings.
  target_compile_options(${name} PRIVATE -Wno-array-bounds -Wno-restrict
    $<$<CONFIG:Release>:-Wno-stringop-overflow;-Wno-stringop-overread>)
  target_precompile_headers(${name} REUSE_FROM keelson_pch_${kind})
endfunction()
