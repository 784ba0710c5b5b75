// SPDX-License-Identifier: Apache-2.0
// static: the addresses are in the configuration, or in the request.
#include <algorithm>
#include <memory>

#include "cni-plugins/ipam/request_ips.h"
#include "cni-plugins/lib/types.h"

namespace keelson::cni {

namespace {

struct Config {
  std::vector<IpConfig> addresses;
  std::vector<Route> routes;
  Dns dns;
};

std::vector<std::string> SplitAtCommas(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    std::string part = text.substr(at, end - at);
    part.erase(0, part.find_first_not_of(' '));
    part.erase(part.find_last_not_of(' ') + 1);
    parts.push_back(std::move(part));
    at = end + 1;
  }
  return parts;
}

void AddAddress(const Reader& where, const std::string& text, Config* conf) {
  const Or<Cidr> cidr = Cidr::Parse(text);
  if (!cidr.ok()) return where.Fail("\"" + text + "\" is not an address in CIDR notation");
  conf->addresses.push_back({std::nullopt, *cidr, std::nullopt});
}

void ReadConfigured(const Reader& ipam, Config* conf) {
  for (const Reader& item : ipam["addresses"].Items()) {
    AddAddress(item["address"], item["address"].String(), conf);
    const std::string gateway = item["gateway"].String();
    if (gateway.empty() || !item.ok()) continue;
    const Or<Ip> ip = Ip::Parse(gateway);
    if (!ip.ok()) item["gateway"].Fail("\"" + gateway + "\" is not an IP address");
    if (ip.ok()) conf->addresses.back().gateway = *ip;
  }
}

// CNI_ARGS IP= adds to the configured addresses; GATEWAY= goes to those it lies in.
void ReadArgs(const Args& args, const Reader& root, Config* conf) {
  const Reader arg = root["CNI_ARGS"];  // for the messages' sake
  if (const auto ips = args.Arg("IP"); ips && !ips->empty()) {
    for (const std::string& ip : SplitAtCommas(*ips)) AddAddress(arg["IP"], ip, conf);
  }
  const auto gateways = args.Arg("GATEWAY");
  if (!gateways || gateways->empty()) return;
  for (const std::string& text : SplitAtCommas(*gateways)) {
    const Or<Ip> gateway = Ip::Parse(text);
    if (!gateway.ok()) return arg["GATEWAY"].Fail("\"" + text + "\" is not an IP address");
    for (IpConfig& a : conf->addresses) {
      if (a.address.Contains(*gateway)) a.gateway = *gateway;
    }
  }
}

// Addresses of a request replace all others, without gateways (upstream's rule).
void ReadList(const Reader& list, Config* conf) {
  const std::vector<Reader> items = list.Items();
  if (items.empty()) return;
  conf->addresses.clear();
  for (const Reader& item : items) AddAddress(item, item.String(), conf);
}

void CheckCount(const Config& conf, const NetConf& net, const Reader& ipam) {
  const auto v4 =
      std::ranges::count_if(conf.addresses, [](const IpConfig& a) { return a.address.ip.v4(); });
  const auto v6 = static_cast<ptrdiff_t>(conf.addresses.size()) - v4;
  if ((v4 > 1 || v6 > 1) && !VersionAtLeast(net.cni_version, "0.3.0")) {
    ipam["addresses"].Fail("CNI version " + net.cni_version +
                           " does not support more than 1 address per family");
  }
}

Or<Config> Parse(const Request& request) {
  Status error;
  const Reader root = request.conf.Read(&error);
  const Reader ipam = root["ipam"];
  if (!ipam.given()) return Status::Invalid("ipam: missing");
  Config conf;
  ReadConfigured(ipam, &conf);
  if (request.args.WishesCount()) {
    ReadArgs(request.args, root, &conf);
    ReadList(root["args"]["cni"]["ips"], &conf);
    ReadList(root["runtimeConfig"]["ips"], &conf);
  }
  for (const Reader& item : ipam["routes"].Items()) {
    const Or<Route> route = ParseRoute(item);
    if (route.ok()) conf.routes.push_back(*route);
    if (!route.ok() && error.ok()) error = route.status();
  }
  if (ipam["dns"].given()) {
    const Or<Dns> dns = ParseDns(ipam["dns"]);
    if (dns.ok()) conf.dns = *dns;
    if (!dns.ok() && error.ok()) error = dns.status();
  }
  if (error.ok()) CheckCount(conf, request.conf, ipam);
  if (!error.ok()) return error;
  return conf;
}

class Static : public Plugin {
 public:
  Status Validate(const Request& request) override { return Parse(request).status(); }

  Or<Result> Add(const Request& request) override {
    CNI_TRY(CheckArgKeys(request.args, {"IP", "GATEWAY"}));
    CNI_LET(Config conf, Parse(request));
    Result result;
    result.ips = std::move(conf.addresses);
    result.routes = std::move(conf.routes);
    result.dns = std::move(conf.dns);
    return result;
  }

  Status Del(const Request&) override { return {}; }  // nothing was taken

  // Each configured address is in prevResult, with its gateway.
  Status Check(const Request& request) override {
    CNI_LET(const Config conf, Parse(request));
    if (!request.conf.prev_result) return Status::Invalid("prevResult: missing");
    for (const IpConfig& want : conf.addresses) {
      const bool found =
          std::ranges::any_of(request.conf.prev_result->ips, [&](const IpConfig& ip) {
            return ip.address.ip == want.address.ip &&
                   (!want.gateway || ip.gateway == want.gateway);
          });
      if (!found) {
        return Status::Internal("static: prevResult lacks " + want.address.ToString() +
                                " on interface " + request.args.ifname);
      }
    }
    return {};
  }
};

}  // namespace

std::unique_ptr<Plugin> MakeStatic() { return std::make_unique<Static>(); }

}  // namespace keelson::cni
