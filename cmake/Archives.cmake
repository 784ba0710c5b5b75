# SPDX-License-Identifier: Apache-2.0
# One static copy of abseil, protobuf and gRPC in each binary. Shared ones cost start-up time and
# private pages, and a binary with both kinds would have two abseils with two sets of globals.
# Debian's CMake packages offer shared libraries only; the archives lie beside them.

# Points the imported targets other files name (absl::status, protobuf::libprotobuf) at archives.
get_property(_imported DIRECTORY ${CMAKE_SOURCE_DIR} PROPERTY IMPORTED_TARGETS)
list(FILTER _imported INCLUDE REGEX "^(absl::|protobuf::libprotobuf$)")
foreach(_target ${_imported})
  foreach(_config "" _NONE _RELEASE _DEBUG)
    get_target_property(_shared ${_target} IMPORTED_LOCATION${_config})
    if(_shared)
      string(REGEX REPLACE "\\.so[.0-9]*$" ".a" _archive "${_shared}")
      if(EXISTS ${_archive})
        set_target_properties(${_target} PROPERTIES IMPORTED_LOCATION${_config} ${_archive})
      endif()
    endif()
  endforeach()
endforeach()

# keelson_grpc: gRPC without TLS. All our peers are unix sockets on this node.
pkg_check_modules(GRPC REQUIRED grpc++_unsecure)
set(_archives "")
foreach(_name ${GRPC_STATIC_LIBRARIES} upb address_sorting re2 cares gpr)
  find_library(KEELSON_ARCHIVE_${_name} NAMES lib${_name}.a)
  if(KEELSON_ARCHIVE_${_name})
    list(APPEND _archives ${KEELSON_ARCHIVE_${_name}})
  endif()
endforeach()
list(REMOVE_DUPLICATES _archives)
list(FILTER _archives EXCLUDE REGEX "/lib(atomic|rt|m|pthread|dl)\\.a$")
add_library(keelson_grpc INTERFACE)
target_link_libraries(keelson_grpc INTERFACE protobuf::libprotobuf
  "$<LINK_GROUP:RESCAN,${_archives}>" Threads::Threads z)
