# SPDX-License-Identifier: Apache-2.0
# cmake -DBINARY=... -DDIR=... -P links.cmake: a hard link in DIR for every name BINARY answers to.
execute_process(COMMAND ${BINARY} --list OUTPUT_VARIABLE names COMMAND_ERROR_IS_FATAL ANY
                OUTPUT_STRIP_TRAILING_WHITESPACE)
string(REPLACE "\n" ";" names "${names}")
file(MAKE_DIRECTORY ${DIR})
foreach(name IN LISTS names)
  file(REMOVE ${DIR}/${name})
  file(CREATE_LINK ${BINARY} ${DIR}/${name})
endforeach()
