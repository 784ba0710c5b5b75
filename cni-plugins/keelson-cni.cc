// SPDX-License-Identifier: Apache-2.0
// One binary under many names: the runtime executes <bin_dir>/<type>, a hard link to this file.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "cni-plugins/ipam/dhcp_daemon.h"
#include "cni-plugins/lib/skel.h"
#include "cni-plugins/main/tap.h"

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

// The process that tap starts under another SELinux context: name, multi-queue, owner, group.
int MakeTap(char** words) {
  keelson::cni::TapSpec spec;
  spec.name = words[0];
  spec.multi_queue = std::string_view(words[1]) == "1";
  if (*words[2]) spec.owner = std::atoll(words[2]);
  if (*words[3]) spec.group = std::atoll(words[3]);
  const keelson::cni::Status s = keelson::cni::MakeTapDevice(spec);
  if (!s.ok()) std::fprintf(stderr, "%s\n", s.message().c_str());
  return s.ok() ? 0 : 1;
}

// `dhcp daemon ...`, under the link's name or ours.
bool IsDaemon(std::string_view name, int argc, char** argv) {
  return name == "dhcp" && argc > 0 && std::string_view(argv[0]) == "daemon";
}

int Usage() {
  std::fputs("keelson-cni " KEELSON_VERSION
             ": CNI plugins in one binary. Link it under, or give it "
             "as the first argument, the name of one of:\n",
             stderr);
  for (const auto& entry : keelson::cni::AllPlugins()) {
    std::fprintf(stderr, "  %s\n", std::string(entry.name).c_str());
  }
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 0) {
    if (IsDaemon(BaseName(argv[0]), argc - 1, argv + 1)) {
      return keelson::cni::dhcp::DaemonMain(argc - 2, argv + 2);
    }
    if (const auto* entry = keelson::cni::FindPlugin(BaseName(argv[0]))) {
      return keelson::cni::PluginMain(*entry);
    }
  }
  if (argc > 1) {
    if (std::string_view(argv[1]) == "--list") return List();
    if (std::string_view(argv[1]) == "--make-tap" && argc == 6) return MakeTap(argv + 2);
    if (IsDaemon(argv[1], argc - 2, argv + 2)) {
      return keelson::cni::dhcp::DaemonMain(argc - 3, argv + 3);
    }
    if (const auto* entry = keelson::cni::FindPlugin(argv[1])) {
      return keelson::cni::PluginMain(*entry);
    }
  }
  return Usage();
}
