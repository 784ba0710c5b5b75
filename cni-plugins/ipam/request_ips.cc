// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/ipam/request_ips.h"

#include <algorithm>

namespace keelson::cni {

Status CheckArgKeys(const Args& args, std::initializer_list<std::string_view> known) {
  const std::string ignore = args.Arg("IgnoreUnknown").value_or("");
  if (ignore == "1" || ignore == "true" || ignore == "True" || ignore == "TRUE") return {};
  std::string_view rest = args.args;
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find(';'));
    rest.remove_prefix(std::min(pair.size() + 1, rest.size()));
    const std::string_view key = pair.substr(0, pair.find('='));
    if (key.size() == pair.size()) {
      return {Code::kInvalidEnvironment,
              "CNI_ARGS: \"" + std::string(pair) + "\" is not of the form KEY=VALUE"};
    }
    if (key != "IgnoreUnknown" && std::ranges::find(known, key) == known.end()) {
      return {Code::kInvalidEnvironment,
              "CNI_ARGS: unknown key \"" + std::string(key) + "\" (IgnoreUnknown=1 allows it)"};
    }
  }
  return {};
}

namespace {

void Take(const Reader& where, const std::string& text, std::vector<Ip>* ips) {
  const Or<Cidr> with_prefix = Cidr::Parse(text);
  const Or<Ip> ip = with_prefix.ok() ? Or<Ip>(with_prefix->ip) : Ip::Parse(text);
  if (!ip.ok()) return where.Fail("\"" + text + "\" is not an IP address");
  if (std::ranges::find(*ips, *ip) == ips->end()) ips->push_back(*ip);
}

}  // namespace

std::vector<Ip> RequestedIps(const Request& request, const Reader& root) {
  std::vector<Ip> ips;
  if (!request.args.WishesCount()) return ips;
  if (const auto arg = request.args.Arg("IP"); arg && !arg->empty()) {
    const Or<Cidr> with_prefix = Cidr::Parse(*arg);
    const Or<Ip> ip = with_prefix.ok() ? Or<Ip>(with_prefix->ip) : Ip::Parse(*arg);
    if (ip.ok()) ips.push_back(*ip);
    if (!ip.ok()) root["CNI_ARGS"]["IP"].Fail("\"" + *arg + "\" is not an IP address");
  }
  for (const Reader& list : {root["args"]["cni"]["ips"], root["runtimeConfig"]["ips"]}) {
    for (const Reader& item : list.Items()) Take(item, item.String(), &ips);
  }
  return ips;
}

}  // namespace keelson::cni
