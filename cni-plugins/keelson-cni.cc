// SPDX-License-Identifier: Apache-2.0
// One binary under many names: the runtime executes <bin_dir>/<type>, a hard link to this file.

#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

#include "cni-plugins/lib/skel.h"

namespace {

std::string_view BaseName(const char* path) {
  const char* slash = std::strrchr(path, '/');
  return slash ? slash + 1 : path;
}

// For the packager's links: one name a line.
int List() {
  for (const auto& entry : keelson::cni::AllPlugins()) {
    std::printf("%s\n", std::string(entry.name).c_str());
  }
  return 0;
}

int Usage() {
  std::fputs("keelson-cni " KEELSON_VERSION ": CNI plugins in one binary. Link it under, or give it "
             "as the first argument, the name of one of:\n", stderr);
  for (const auto& entry : keelson::cni::AllPlugins()) {
    std::fprintf(stderr, "  %s\n", std::string(entry.name).c_str());
  }
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 0) {
    if (const auto* entry = keelson::cni::FindPlugin(BaseName(argv[0]))) {
      return keelson::cni::PluginMain(*entry);
    }
  }
  if (argc > 1) {
    if (std::string_view(argv[1]) == "--list") return List();
    if (const auto* entry = keelson::cni::FindPlugin(argv[1])) {
      return keelson::cni::PluginMain(*entry);
    }
  }
  return Usage();
}
