// SPDX-License-Identifier: Apache-2.0
#include "kubelet/node/node_facts.h"

#include <sys/statvfs.h>
#include <sys/utsname.h>

#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "base/errno_status.h"
#include "base/files.h"
#include "base/strings.h"
#include "proto/codec/quantity.h"

namespace keelson::kubelet {
namespace {

namespace fs = std::filesystem;

std::string FirstLine(const std::string& path) {
  auto text = base::ReadFile(path, 64 << 10);
  if (!text.ok()) return "";
  std::string line = text->substr(0, text->find('\n'));
  absl::StripAsciiWhitespace(&line);
  return line;
}

std::string FirstOf(const std::string& root, std::initializer_list<const char*> paths) {
  for (const char* path : paths) {
    std::string line = FirstLine(root + path);
    if (!line.empty()) return line;
  }
  return "";
}

// os-release(5): NAME="value", quotes optional.
std::string PrettyName(const std::string& root) {
  for (const char* path : {"/etc/os-release", "/usr/lib/os-release"}) {
    auto text = base::ReadFile(root + path, 64 << 10);
    if (!text.ok()) continue;
    constexpr std::string_view kKey = "PRETTY_NAME=";
    std::string_view rest = *text;
    while (!rest.empty()) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      std::string_view line = rest.substr(0, end);
      rest.remove_prefix(std::min(end + 1, rest.size()));
      if (!line.starts_with(kKey)) continue;
      line.remove_prefix(kKey.size());
      if (line.size() >= 2 && (line[0] == '"' || line[0] == '\'') && line.back() == line[0])
        line = line.substr(1, line.size() - 2);
      return std::string(line);
    }
  }
  return "";
}

int64_t SwapBytes(const std::string& root) {
  auto text = base::ReadFile(root + "/proc/meminfo");
  if (!text.ok()) return 0;
  const size_t at = text->find("SwapTotal:");
  if (at == std::string::npos) return 0;
  const size_t begin = text->find_first_of("0123456789", at);
  int64_t kib = 0;
  if (begin == std::string::npos ||
      !absl::SimpleAtoi(text->substr(begin, text->find(' ', begin) - begin), &kib))
    return 0;
  return kib * 1024;
}

}  // namespace

std::string GoArchitecture() {
  struct utsname name {};
  ::uname(&name);
  const std::string machine = name.machine;
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64") return "arm64";
  if (machine.starts_with("armv")) return "arm";
  if (machine == "i686" || machine == "i386") return "386";
  return machine;  // ppc64le, s390x, riscv64 are the same words
}

k8s::v1::NodeSystemInfo ReadSystemInfo(const std::string& root) {
  struct utsname name {};
  ::uname(&name);
  k8s::v1::NodeSystemInfo info;
  info.set_machineid(FirstOf(root, {"/etc/machine-id", "/var/lib/dbus/machine-id"}));
  info.set_systemuuid(FirstOf(root, {"/sys/class/dmi/id/product_uuid",
                                     "/proc/device-tree/system-id", "/proc/device-tree/vm,uuid",
                                     "/etc/machine-id"}));
  info.set_bootid(FirstLine(root + "/proc/sys/kernel/random/boot_id"));
  info.set_kernelversion(name.release);
  info.set_osimage(PrettyName(root));
  info.set_operatingsystem("linux");
  info.set_architecture(GoArchitecture());
  if (int64_t swap = SwapBytes(root); swap > 0) info.mutable_swap()->set_capacity(swap);
  return info;
}

std::map<std::string, int64_t> ReadHugePages(const std::string& root) {
  std::map<std::string, int64_t> sizes;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root + "/sys/kernel/mm/hugepages", error)) {
    std::string name = entry.path().filename();  // hugepages-2048kB
    constexpr std::string_view kHead = "hugepages-", kTail = "kB";
    int64_t kib = 0, count = 0;
    if (!name.starts_with(kHead) || !name.ends_with(kTail)) continue;
    name = name.substr(kHead.size(), name.size() - kHead.size() - kTail.size());
    if (!absl::SimpleAtoi(name, &kib)) continue;
    if (!absl::SimpleAtoi(FirstLine(entry.path() / "nr_hugepages"), &count)) count = 0;
    const auto size = proto::Quantity::FromValue(kib * 1024, proto::Quantity::Format::kBinarySi);
    sizes[base::StrCat("hugepages-", size.ToString())] = kib * 1024 * count;
  }
  return sizes;
}

absl::StatusOr<int64_t> FileSystemSize(const std::string& path) {
  struct statvfs st {};
  if (::statvfs(path.c_str(), &st) < 0)
    return base::ErrnoStatus("ask for the size of the file system of", path);
  return static_cast<int64_t>(st.f_blocks) * static_cast<int64_t>(st.f_frsize);
}

}  // namespace keelson::kubelet
