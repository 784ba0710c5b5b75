// SPDX-License-Identifier: Apache-2.0
#include "cri/node_facts.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/files.h"
#include "base/strings.h"

namespace keelson::cri {
namespace {

// The number between `before` and `after`, which are the rest of `text`.
std::optional<uint64_t> NumberIn(std::string_view text, std::string_view before,
                                 std::string_view after) {
  if (!text.starts_with(before) || !text.ends_with(after)) return std::nullopt;
  text = text.substr(before.size());
  text = text.substr(0, text.size() - std::min(after.size(), text.size()));
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// Numbers of the directory's entries of that form, in order; none when it cannot be read.
std::vector<uint64_t> NumbersIn(const std::string& dir, std::string_view before,
                                std::string_view after) {
  std::vector<uint64_t> numbers;
  auto names = base::ListDir(dir);
  if (!names.ok()) return numbers;
  for (const std::string& name : *names)
    if (auto number = NumberIn(name, before, after)) numbers.push_back(*number);
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

}  // namespace

std::vector<std::string> HugePageSizes(const std::string& sys) {
  std::vector<std::string> sizes;
  for (uint64_t amount :
       NumbersIn(base::JoinPath(sys, "kernel/mm/hugepages"), "hugepages-", "kB")) {
    const char* unit = "KB";
    for (const char* larger : {"MB", "GB"}) {
      if (amount == 0 || amount % 1024 != 0) break;
      amount /= 1024;
      unit = larger;
    }
    sizes.push_back(base::StrCat(amount, unit));
  }
  return sizes;
}

std::vector<std::string> ThermalThrottlePaths(const std::string& sys) {
  constexpr std::string_view kCpus = "devices/system/cpu";
  std::vector<std::string> paths;
  for (const uint64_t cpu : NumbersIn(base::JoinPath(sys, kCpus), "cpu", "")) {
    const std::string path = base::StrCat("/", kCpus, "/cpu", cpu, "/thermal_throttle");
    if (base::PathExists(sys + path)) paths.push_back("/sys" + path);
  }
  return paths;
}

}  // namespace keelson::cri
