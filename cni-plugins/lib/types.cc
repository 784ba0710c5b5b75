// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/lib/types.h"

#include <algorithm>

namespace keelson::cni {

namespace {

constexpr std::string_view kVersions[] = {"0.1.0", "0.2.0", "0.3.0", "0.3.1",
                                          "0.4.0", "1.0.0", "1.1.0"};

size_t VersionRank(std::string_view version) {
  return static_cast<size_t>(std::ranges::find(kVersions, version) - std::begin(kVersions));
}

}  // namespace

std::span<const std::string_view> SupportedVersions() { return kVersions; }

bool IsSupportedVersion(std::string_view version) {
  return VersionRank(version) < std::size(kVersions);
}

bool VersionAtLeast(std::string_view a, std::string_view b) {
  return VersionRank(a) >= VersionRank(b);
}

std::optional<std::string> Args::Arg(std::string_view key) const {
  std::string_view rest = args;
  while (!rest.empty()) {
    const size_t end = rest.find(';');
    const std::string_view pair = rest.substr(0, end);
    const size_t equals = pair.find('=');
    if (equals != std::string_view::npos && pair.substr(0, equals) == key) {
      return std::string(pair.substr(equals + 1));
    }
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + 1);
  }
  return std::nullopt;
}

// ---- result: JSON out ---------------------------------------------------------------------------

namespace {

Json DnsJson(const Dns& dns) {
  Json j = Json::Object();
  if (!dns.nameservers.empty()) j.Set("nameservers", Json::Strings(dns.nameservers));
  if (!dns.domain.empty()) j.Set("domain", Json(dns.domain));
  if (!dns.search.empty()) j.Set("search", Json::Strings(dns.search));
  if (!dns.options.empty()) j.Set("options", Json::Strings(dns.options));
  return j;
}

// The options are the specification's since 1.1.0, but libcni carries them since 0.3.0.
Json RouteJson(const Route& r, std::string_view version) {
  Json j = Json::Object();
  j.Set("dst", Json(r.dst.ToString()));
  if (r.gw) j.Set("gw", Json(r.gw->ToString()));
  if (!VersionAtLeast(version, "0.3.0")) return j;
  if (r.mtu != 0) j.Set("mtu", Json(r.mtu));
  if (r.advmss != 0) j.Set("advmss", Json(r.advmss));
  if (r.priority != 0) j.Set("priority", Json(r.priority));
  if (r.table) j.Set("table", Json(*r.table));
  if (r.scope) j.Set("scope", Json(*r.scope));
  return j;
}

Json InterfaceJson(const Interface& i, std::string_view version) {
  const bool newest = VersionAtLeast(version, "1.1.0");
  Json j = Json::Object();
  j.Set("name", Json(i.name));
  if (!i.mac.empty()) j.Set("mac", Json(i.mac));
  if (newest && i.mtu != 0) j.Set("mtu", Json(i.mtu));
  if (!i.sandbox.empty()) j.Set("sandbox", Json(i.sandbox));
  if (newest && !i.socket_path.empty()) j.Set("socketPath", Json(i.socket_path));
  if (newest && !i.pci_id.empty()) j.Set("pciID", Json(i.pci_id));
  return j;
}

Json IpJson(const IpConfig& ip, std::string_view version) {
  Json j = Json::Object();
  if (!VersionAtLeast(version, "1.0.0")) j.Set("version", Json(ip.address.ip.v4() ? "4" : "6"));
  if (ip.interface) j.Set("interface", Json(*ip.interface));
  j.Set("address", Json(ip.address.ToString()));
  if (ip.gateway) j.Set("gateway", Json(ip.gateway->ToString()));
  return j;
}

// 0.1.0 and 0.2.0 know one address per family and no interfaces.
Or<Json> LegacyJson(const Result& result, std::string_view version) {
  Json j = Json::Object();
  j.Set("cniVersion", Json(version));
  bool any = false;
  for (const bool v4 : {true, false}) {
    const auto ip = std::ranges::find_if(
        result.ips, [&](const IpConfig& c) { return c.address.ip.v4() == v4; });
    if (ip == result.ips.end()) continue;
    any = true;
    Json family = Json::Object();
    family.Set("ip", Json(ip->address.ToString()));
    if (ip->gateway) family.Set("gateway", Json(ip->gateway->ToString()));
    Json routes = Json::Array();
    for (const Route& r : result.routes) {
      if (r.dst.ip.v4() == v4) routes.Append(RouteJson(r, version));
    }
    if (!routes.items().empty()) family.Set("routes", std::move(routes));
    j.Set(v4 ? "ip4" : "ip6", std::move(family));
  }
  if (!any) {
    return Status::Internal("a result of version " + std::string(version) + " needs an address");
  }
  j.Set("dns", DnsJson(result.dns));
  return j;
}

template <typename T, typename F>
void SetList(Json* j, std::string_view key, const std::vector<T>& list, F to_json) {
  if (list.empty()) return;
  Json& array = j->Set(key, Json::Array());
  for (const T& item : list) array.Append(to_json(item));
}

}  // namespace

Or<Json> Result::ToJson(std::string_view version) const {
  if (!VersionAtLeast(version, "0.3.0")) return LegacyJson(*this, version);
  Json j = Json::Object();
  j.Set("cniVersion", Json(version));
  SetList(&j, "interfaces", interfaces,
          [&](const Interface& i) { return InterfaceJson(i, version); });
  SetList(&j, "ips", ips, [&](const IpConfig& ip) { return IpJson(ip, version); });
  SetList(&j, "routes", routes, [&](const Route& r) { return RouteJson(r, version); });
  // libcni's 1.1.0 leaves out what is empty; before, "dns" was always there.
  if (!VersionAtLeast(version, "1.1.0") || !dns.empty()) j.Set("dns", DnsJson(dns));
  return j;
}

// ---- result: JSON in ----------------------------------------------------------------------------

namespace {

Cidr ReadCidr(const Reader& r) {
  Or<Cidr> c = Cidr::Parse(r.String());
  if (c.ok()) return *c;
  r.Fail(c.status().message());
  return {};
}

std::optional<Ip> ReadIp(const Reader& r) {
  const std::string text = r.String();
  if (text.empty()) return std::nullopt;
  Or<Ip> ip = Ip::Parse(text);
  if (ip.ok()) return *ip;
  r.Fail(ip.status().message());
  return std::nullopt;
}

Dns ReadDns(const Reader& r) {
  return {r["nameservers"].Strings(), r["domain"].String(), r["search"].Strings(),
          r["options"].Strings()};
}

Route ReadRoute(const Reader& r) {
  Route out;
  out.dst = ReadCidr(r["dst"]);
  out.gw = ReadIp(r["gw"]);
  out.mtu = static_cast<int>(r["mtu"].Int(0, 0, INT32_MAX));
  out.advmss = static_cast<int>(r["advmss"].Int(0, 0, INT32_MAX));
  out.priority = static_cast<int>(r["priority"].Int(0, 0, INT32_MAX));
  if (r["table"].given()) out.table = static_cast<int>(r["table"].Int(0, 0, INT32_MAX));
  if (r["scope"].given()) out.scope = static_cast<int>(r["scope"].Int(0, 0, 255));
  return out;
}

void ReadLegacy(const Reader& r, Result* out) {
  for (const char* family : {"ip4", "ip6"}) {
    const Reader f = r[family];
    if (!f.given()) continue;
    out->ips.push_back({std::nullopt, ReadCidr(f["ip"]), ReadIp(f["gateway"])});
    for (const Reader& route : f["routes"].Items()) out->routes.push_back(ReadRoute(route));
  }
}

void ReadCurrent(const Reader& r, Result* out) {
  for (const Reader& i : r["interfaces"].Items()) {
    Interface interface;
    interface.name = i["name"].String();
    interface.mac = i["mac"].String();
    interface.mtu = static_cast<int>(i["mtu"].Int(0, 0, INT32_MAX));
    interface.sandbox = i["sandbox"].String();
    interface.socket_path = i["socketPath"].String();
    interface.pci_id = i["pciID"].String();
    out->interfaces.push_back(std::move(interface));
  }
  for (const Reader& i : r["ips"].Items()) {
    IpConfig ip{std::nullopt, ReadCidr(i["address"]), ReadIp(i["gateway"])};
    const int64_t last = static_cast<int64_t>(out->interfaces.size()) - 1;
    if (i["interface"].given()) ip.interface = static_cast<int>(i["interface"].Int(0, 0, last));
    out->ips.push_back(std::move(ip));
  }
  for (const Reader& route : r["routes"].Items()) out->routes.push_back(ReadRoute(route));
}

Result ReadResult(const Reader& r, std::string_view version) {
  Result out;
  if (VersionAtLeast(version, "0.3.0"))
    ReadCurrent(r, &out);
  else
    ReadLegacy(r, &out);
  out.dns = ReadDns(r["dns"]);
  return out;
}

bool IsNameChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.' || c == '-';
}

}  // namespace

Or<Dns> ParseDns(const Reader& dns) {
  Dns out = ReadDns(dns);
  CNI_TRY(dns.status());
  return out;
}

Or<Route> ParseRoute(const Reader& route) {
  Route out = ReadRoute(route);
  CNI_TRY(route.status());
  return out;
}

Or<Result> Result::FromJson(const Json& json, std::string_view version) {
  Status error;
  const Reader r(json, &error);
  Result out = ReadResult(r, version);
  CNI_TRY(error);
  return out;
}

// ---- configuration ------------------------------------------------------------------------------

Or<NetConf> NetConf::Parse(std::string_view text) {
  NetConf conf;
  CNI_LET(conf.json, Json::Parse(text));
  if (!conf.json.is_object()) return Status(Code::kDecoding, "configuration: must be an object");
  Status error;
  const Reader r = conf.Read(&error);
  conf.cni_version = r["cniVersion"].String();
  if (conf.cni_version.empty()) conf.cni_version = "0.1.0";
  CNI_TRY(error);
  if (!IsSupportedVersion(conf.cni_version)) {
    std::string all;
    for (const std::string_view v : kVersions) all += (all.empty() ? "" : ", ") + std::string(v);
    return Status(Code::kIncompatibleVersion,
                  "cniVersion: incompatible CNI version \"" + conf.cni_version + "\"",
                  "this plugin supports " + all);
  }
  conf.name = r["name"].String();
  conf.type = r["type"].String();
  conf.ipam_type = r["ipam"]["type"].String();
  conf.dns = ReadDns(r["dns"]);
  if (error.ok() && conf.name.empty()) r["name"].Fail("missing network name");
  if (conf.name[0] == '.' || conf.name[0] == '_' || conf.name[0] == '-' ||
      !std::ranges::all_of(conf.name, IsNameChar)) {
    r["name"].Fail("invalid characters in network name \"" + conf.name + "\"");
  }
  if (const Reader prev = r["prevResult"]; prev.given()) {
    // A result may carry a version of its own, older than the configuration's.
    std::string version = prev["cniVersion"].String();
    if (version.empty()) version = conf.cni_version;
    if (!IsSupportedVersion(version))
      prev["cniVersion"].Fail("\"" + version + "\" is not supported");
    conf.prev_result = ReadResult(prev, version);
  }
  CNI_TRY(error);
  return conf;
}

Or<std::vector<Attachment>> ValidAttachments(const NetConf& conf) {
  Status error;
  std::vector<Attachment> out;
  for (const Reader& a : conf.Read(&error)["cni.dev/valid-attachments"].Items()) {
    out.push_back({a["containerID"].String(), a["ifname"].String()});
  }
  CNI_TRY(error);
  return out;
}

}  // namespace keelson::cni
