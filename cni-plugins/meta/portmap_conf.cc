// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/meta/portmap_conf.h"

#include <netinet/in.h>

#include <algorithm>

namespace keelson::cni {

namespace {

uint8_t ParseProtocol(const Reader& reader) {
  std::string text = reader.String();
  for (char& c : text) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  if (text == "tcp") return IPPROTO_TCP;
  if (text == "udp") return IPPROTO_UDP;
  if (text == "sctp") return IPPROTO_SCTP;
  reader.Fail("\"" + text + "\" is none of tcp, udp, sctp");
  return 0;
}

void ParseHostIp(const Reader& reader, PortMapping* mapping) {
  const std::string text = reader.String();
  if (text.empty()) return;
  const Or<Ip> ip = Ip::Parse(text);
  if (!ip.ok()) return reader.Fail("\"" + text + "\" is not an IP address");
  mapping->any_v4 = ip->v4() && ip->IsZero();
  mapping->any_v6 = !ip->v4() && ip->IsZero();
  if (!ip->IsZero()) mapping->host_ip = *ip;
}

PortMapping ParseMapping(const Reader& reader) {
  PortMapping m{};
  m.host_port = static_cast<uint16_t>(reader["hostPort"].Int(0, 1, 65535));
  m.container_port = static_cast<uint16_t>(reader["containerPort"].Int(0, 1, 65535));
  if (reader.ok() && m.host_port == 0) reader["hostPort"].Fail("missing");
  if (reader.ok() && m.container_port == 0) reader["containerPort"].Fail("missing");
  m.protocol = ParseProtocol(reader["protocol"]);
  ParseHostIp(reader["hostIP"], &m);
  return m;
}

bool SameTraffic(const PortMapping& a, const PortMapping& b) {
  return a.protocol == b.protocol && a.host_port == b.host_port && a.host_ip == b.host_ip &&
         ((a.any_v4 && b.any_v4) || (a.any_v6 && b.any_v6) || a.host_ip);
}

// The same mapping twice is once; two targets for one port cannot both be had.
void AddMapping(const Reader& reader, std::vector<PortMapping>* mappings) {
  const PortMapping m = ParseMapping(reader);
  if (!reader.ok()) return;
  for (const PortMapping& other : *mappings) {
    if (!SameTraffic(m, other)) continue;
    if (other.container_port != m.container_port) {
      return reader["hostPort"].Fail(std::to_string(m.host_port) +
                                     " is mapped to two container ports");
    }
    if (other.any_v4 == m.any_v4 && other.any_v6 == m.any_v6) return;
  }
  mappings->push_back(m);
}

std::vector<Condition> ReadConditions(const Reader& reader, bool v4) {
  const Or<std::vector<Condition>> conditions = ParseConditions(reader.Strings(), v4);
  if (conditions.ok()) return *conditions;
  reader.Fail(conditions.status().message());
  return {};
}

// One set of rules serves both of upstream's backends; what it would refuse, we refuse.
void CheckBackend(const Reader& root) {
  const std::string backend = root["backend"].String();
  if (!backend.empty() && backend != "iptables" && backend != "nftables") {
    return root["backend"].Fail("unrecognized backend \"" + backend + "\"");
  }
  const bool nftables = backend == "nftables";
  if (nftables && root["externalSetMarkChain"].given()) {
    root["externalSetMarkChain"].Fail("is specific to the iptables backend, not nftables");
  }
  for (const char* name : {"conditionsV4", "conditionsV6"}) {
    const ConditionStyle style = StyleOf(root[name].Strings());
    if (backend.empty() || style == ConditionStyle::kNone) continue;
    if (nftables != (style == ConditionStyle::kNftables)) {
      root[name].Fail("is not in the syntax of the " + backend + " backend");
    }
  }
}

}  // namespace

Or<PortmapConf> ParsePortmapConf(const NetConf& net) {
  Status error;
  const Reader root = net.Read(&error);
  PortmapConf conf;
  conf.snat = root["snat"].Bool(true);
  conf.masq_all = root["masqAll"].Bool(false);
  if (root["markMasqBit"].given()) {
    conf.mark_bit = static_cast<int>(root["markMasqBit"].Int(0, 0, 31));
  }
  // Names a chain somebody else's rules masquerade from. Ours do it themselves, with the same
  // outcome, so there is nothing to hand over; the name is checked as far as it can be.
  const std::string chain = root["externalSetMarkChain"].String();
  if (chain.size() > 28) root["externalSetMarkChain"].Fail("is longer than a chain's name can be");
  if (conf.mark_bit && root["externalSetMarkChain"].given()) {
    root["markMasqBit"].Fail("cannot be given together with externalSetMarkChain");
  }
  CheckBackend(root);
  conf.conditions_v4 = ReadConditions(root["conditionsV4"], true);
  conf.conditions_v6 = ReadConditions(root["conditionsV6"], false);
  for (const Reader& item : root["runtimeConfig"]["portMappings"].Items()) {
    AddMapping(item, &conf.mappings);
  }
  if (!error.ok()) return error;
  return conf;
}

std::vector<IpConfig> ContainerAddresses(const Result& result, const std::string& ifname) {
  std::vector<IpConfig> addresses;
  for (const IpConfig& ip : result.ips) {
    const bool have = std::ranges::any_of(
        addresses, [&](const IpConfig& a) { return a.address.ip.v4() == ip.address.ip.v4(); });
    if (have) continue;
    const auto index = static_cast<size_t>(ip.interface.value_or(-1));
    if (ip.interface && index < result.interfaces.size()) {
      const Interface& interface = result.interfaces[index];
      if (interface.name != ifname || interface.sandbox.empty()) continue;
    }
    addresses.push_back(ip);
  }
  return addresses;
}

}  // namespace keelson::cni
