// SPDX-License-Identifier: Apache-2.0
#include "base/memory.h"

#include <malloc.h>
#include <sys/mman.h>

#include <algorithm>
#include <charconv>
#include <string>

#include "base/files.h"

namespace keelson::base {
namespace {

// "7f00-7f10 r-xp 0000 fe:00 123   /usr/lib/libx.so": a range when it is private, of a file and not
// writable; `end` is 0 otherwise.
MemoryRange ReadOnlyFile(std::string_view line) {
  const size_t dash = line.find('-');
  const size_t space = line.find(' ');
  if (dash > space || space == std::string_view::npos) return {};
  MemoryRange range;
  auto hex = [](std::string_view text, uintptr_t& out) {
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, 16);
    return error == std::errc() && end == text.data() + text.size();
  };
  if (!hex(line.substr(0, dash), range.begin) ||
      !hex(line.substr(dash + 1, space - dash - 1), range.end))
    return {};
  const std::string_view permissions = line.substr(space + 1, 4);
  const bool file = line.find(" /") != std::string_view::npos;
  const bool read_only = permissions == "r-xp" || permissions == "r--p";
  return file && read_only ? range : MemoryRange{};
}

}  // namespace

std::vector<MemoryRange> DroppableRanges(std::string_view smaps) {
  std::vector<MemoryRange> ranges;
  MemoryRange current;
  while (!smaps.empty()) {
    const size_t end = std::min(smaps.find('\n'), smaps.size());
    const std::string_view line = smaps.substr(0, end);
    smaps.remove_prefix(std::min(end + 1, smaps.size()));
    constexpr std::string_view kAnonymous = "Anonymous:";
    if (line.starts_with(kAnonymous)) {
      // Relocated constants are pages of our own: they exist nowhere else.
      const size_t digit = line.find_first_not_of(' ', kAnonymous.size());
      const bool none = digit != std::string_view::npos && line.substr(digit) == "0 kB";
      if (none && current.end != 0) ranges.push_back(current);
      current = {};
    } else if (line.find('-') < line.find(' ')) {
      current = ReadOnlyFile(line);
    }
  }
  return ranges;
}

absl::Status ReleaseUnusedMemory() {
  ::malloc_trim(0);
  auto smaps = ReadFile("/proc/self/smaps", 4 << 20);
  if (!smaps.ok()) return smaps.status();
  for (const auto& range : DroppableRanges(*smaps))
    ::madvise(reinterpret_cast<void*>(range.begin), range.end - range.begin, MADV_DONTNEED);
  return absl::OkStatus();
}

}  // namespace keelson::base
