// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/ipam/dhcp_conf.h"

#include <algorithm>

#include "cni-plugins/ipam/dhcp_packet.h"

namespace keelson::cni::dhcp {

namespace {

std::optional<uint8_t> ReadOption(const Reader& reader) {
  const std::string name = reader.String();
  const std::optional<uint8_t> option = OptionByName(name);
  if (!option) reader.Fail("\"" + name + "\" is no DHCP option this plugin knows, nor a number");
  return option;
}

void ReadProvide(const Reader& list, const Args& args, Conf* conf) {
  for (const Reader& item : list.Items()) {
    const std::optional<uint8_t> option = ReadOption(item["option"]);
    if (!option) return;
    std::string value = item["value"].String();
    const std::string from = item["fromArg"].String();
    if (const auto arg = from.empty() ? std::nullopt : args.Arg(from)) value = *arg;
    if (value.size() > 255) item["value"].Fail("value too long for a DHCP option");
    if (!value.empty()) conf->provide[*option] = value;
  }
}

void ReadRequest(const Reader& list, Conf* conf) {
  bool skip_default = false;
  for (const Reader& item : list.Items()) {
    skip_default |= item["skipDefault"].Bool();
    if (item["option"].String().empty()) continue;
    if (const auto option = ReadOption(item["option"])) conf->request.push_back(*option);
  }
  if (skip_default) return;
  for (const uint8_t option : {kSubnetMask, kRouters, kStaticRoutes, kClasslessRoutes}) {
    if (std::ranges::find(conf->request, option) == conf->request.end()) {
      conf->request.push_back(option);
    }
  }
}

}  // namespace

Or<Conf> ParseConf(const NetConf& net, const Args& args) {
  Status error;
  const Reader ipam = net.Read(&error)["ipam"];
  if (!ipam.given()) return Status::Invalid("ipam: missing");
  Conf conf;
  const std::string path = ipam["daemonSocketPath"].String();
  if (!path.empty()) conf.socket_path = path;
  if (conf.socket_path.size() > 107) {
    ipam["daemonSocketPath"].Fail("longer than a socket's path can be");
  }
  ReadProvide(ipam["provide"], args, &conf);
  ReadRequest(ipam["request"], &conf);
  conf.priority = static_cast<int>(ipam["priority"].Int(0, 0, INT32_MAX));
  if (!error.ok()) return error;
  return conf;
}

std::string ClientId(const std::string& container_id, const std::string& network,
                     const std::string& ifname) {
  return (container_id + "/" + network + "/" + ifname).substr(0, 254);
}

}  // namespace keelson::cni::dhcp
