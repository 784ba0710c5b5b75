// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/ipam/resolv_conf.h"

#include <algorithm>

#include "cni-plugins/lib/os.h"

namespace keelson::cni {

namespace {

std::vector<std::string> Fields(std::string_view line) {
  std::vector<std::string> fields;
  constexpr std::string_view kSpace = " \t\r\f\v";
  while (true) {
    const size_t start = line.find_first_not_of(kSpace);
    if (start == line.npos) return fields;
    line.remove_prefix(start);
    const size_t end = std::min(line.find_first_of(kSpace), line.size());
    fields.emplace_back(line.substr(0, end));
    line.remove_prefix(end);
  }
}

}  // namespace

Dns ParseResolvConf(std::string_view text) {
  Dns dns;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::vector<std::string> fields = Fields(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (fields.size() < 2 || fields[0][0] == '#' || fields[0][0] == ';') continue;
    if (fields[0] == "nameserver") dns.nameservers.push_back(fields[1]);
    if (fields[0] == "domain") dns.domain = fields[1];
    if (fields[0] == "search")
      dns.search.insert(dns.search.end(), fields.begin() + 1, fields.end());
    if (fields[0] == "options") {
      dns.options.insert(dns.options.end(), fields.begin() + 1, fields.end());
    }
  }
  return dns;
}

Or<Dns> ReadResolvConf(const std::string& path) {
  const Or<std::string> text = ReadFile(path, 64 << 10);
  if (!text.ok()) return text.status().Within("ipam.resolvConf");
  return ParseResolvConf(*text);
}

}  // namespace keelson::cni
