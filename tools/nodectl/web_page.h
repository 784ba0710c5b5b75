// SPDX-License-Identifier: Apache-2.0
// The files of the node's page. Whatever pods, events and logs say is put in as text, never as markup.
#pragma once

#include <string_view>

namespace keelson::nodectl {

struct WebFile {
  std::string_view content_type;
  std::string_view body;
};
// The page for "", and what it loads; an empty body: there is no such file.
WebFile FindWebFile(std::string_view name);

}  // namespace keelson::nodectl
