# SPDX-License-Identifier: Apache-2.0
# keelson_containerd_test(NAME SOURCES ... [DEPS ...] [TIMEOUT s]): an integration test that runs once
# on Debian 12's containerd (NAME) and once on containerd 2.x (NAME_2x), each with one of its own.
function(keelson_containerd_test name)
  cmake_parse_arguments(A "" "TIMEOUT" "SOURCES;DEPS" ${ARGN})
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 300)
  endif()
  keelson_test(${name} LABEL integration TIMEOUT ${A_TIMEOUT} SOURCES ${A_SOURCES}
    DEPS keelson_containerd_fixture ${A_DEPS})
  if(TARGET kubelet)
    add_dependencies(${name} kubelet nodectl keelson-cni)
  endif()
  add_test(NAME ${name}_2x COMMAND ${name})
  set(shared "KEELSON_CNI_BIN=${CMAKE_BINARY_DIR}/cni" "KEELSON_IMAGES=${CMAKE_BINARY_DIR}/images")
  set_tests_properties(${name} PROPERTIES ENVIRONMENT "KEELSON_CONTAINERD=1.6;${shared}")
  set_tests_properties(${name}_2x PROPERTIES LABELS integration TIMEOUT ${A_TIMEOUT} RESOURCE_LOCK node
    ENVIRONMENT "KEELSON_CONTAINERD=2;${shared}")
  # Without containerd a test is skipped, never passed.
  set_tests_properties(${name} ${name}_2x PROPERTIES SKIP_REGULAR_EXPRESSION "no containerd here:")
endfunction()
