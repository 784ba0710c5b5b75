// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a plugin is given and what it gives back: the CNI specification's environment, network
// configuration and result, and the interface every plugin implements.
// Everything here is single-threaded: one process serves one call.

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cni-plugins/lib/ip.h"
#include "cni-plugins/lib/json.h"
#include "cni-plugins/lib/status.h"

namespace keelson::cni {

// ---- versions -----------------------------------------------------------------------------------

// The newest specification we speak and everything we accept, oldest first.
inline constexpr std::string_view kNewestVersion = "1.1.0";
std::span<const std::string_view> SupportedVersions();
bool IsSupportedVersion(std::string_view version);
// Whether `a` is `b` or later. REQUIRES: both are supported versions.
bool VersionAtLeast(std::string_view a, std::string_view b);

// ---- the call -----------------------------------------------------------------------------------

// The CNI_* variables of one call (specification, section 2 "Parameters"), checked by skel.
struct Args {
  std::string command;       // CNI_COMMAND
  std::string container_id;  // CNI_CONTAINERID
  std::string netns;         // CNI_NETNS: a path; may be empty in DEL
  std::string ifname;        // CNI_IFNAME
  std::string path;          // CNI_PATH: colon-separated directories
  std::string args;          // CNI_ARGS: "K=V;K2=V2", verbatim

  // Whether what the request wishes for (addresses, in CNI_ARGS or runtimeConfig) matters: the end
  // of a container must not fail for a wish that could not be granted.
  bool WishesCount() const { return command != "DEL" && command != "GC" && command != "STATUS"; }
  // The value of `key` in CNI_ARGS, if given.
  std::optional<std::string> Arg(std::string_view key) const;
};

struct Interface {
  std::string name;
  std::string mac;          // empty: not reported
  int mtu = 0;              // since 1.1.0; 0: not reported
  std::string sandbox;      // empty: on the host
  std::string socket_path;  // since 1.1.0
  std::string pci_id;       // since 1.1.0
};

struct IpConfig {
  std::optional<int> interface;  // index into Result::interfaces
  Cidr address;
  std::optional<Ip> gateway;
};

struct Route {
  Cidr dst;
  std::optional<Ip> gw;
  int mtu = 0;  // since 0.3.0, like all below; 0: not given
  int advmss = 0;
  int priority = 0;
  std::optional<int> table;
  std::optional<int> scope;
};

struct Dns {
  std::vector<std::string> nameservers;
  std::string domain;
  std::vector<std::string> search;
  std::vector<std::string> options;
  bool empty() const {
    return nameservers.empty() && domain.empty() && search.empty() && options.empty();
  }
};

// The outcome of ADD, in the newest version's terms.
struct Result {
  std::vector<Interface> interfaces;
  std::vector<IpConfig> ips;
  std::vector<Route> routes;
  Dns dns;

  // Spelled as `version` wants it; what that version cannot say is left out. kInternal when nothing
  // useful is left (0.2.0 and before need an address).
  Or<Json> ToJson(std::string_view version) const;
  // From any supported version's spelling. kDecoding/kInvalidConfig name the field.
  static Or<Result> FromJson(const Json& json, std::string_view version);
};

Or<Dns> ParseDns(const Reader& dns);
Or<Route> ParseRoute(const Reader& route);

// The network configuration on stdin: common members decoded, the rest through Read().
struct NetConf {
  std::string cni_version;  // never empty: absent means 0.1.0, as libcni has it
  std::string name;
  std::string type;
  std::string ipam_type;  // empty: no IPAM asked for
  Dns dns;
  std::optional<Result> prev_result;
  Json json = Json::Object();  // all of stdin

  // `text` as configuration; checks the network's name against the specification.
  static Or<NetConf> Parse(std::string_view text);
  Reader Read(Status* error) const { return Reader(json, error); }
};

// One attachment named by GC's cni.dev/valid-attachments.
struct Attachment {
  std::string container_id;
  std::string ifname;
  friend bool operator==(const Attachment&, const Attachment&) = default;
};
Or<std::vector<Attachment>> ValidAttachments(const NetConf& conf);

struct Request {
  Args args;
  NetConf conf;
};

// ---- plugins ------------------------------------------------------------------------------------

// One plugin. A process makes one (two with in-process IPAM), calls one verb and ends.
// Every verb first checks the configuration and changes nothing when it is wrong.
class Plugin {
 public:
  virtual ~Plugin() = default;
  // Decodes and checks the configuration; changes and looks at nothing outside. skel calls it
  // before every verb; the fuzz target lives here.
  virtual Status Validate(const Request& request) = 0;
  // On failure everything it made is gone again.
  virtual Or<Result> Add(const Request& request) = 0;
  // Idempotent: what is already gone, the namespace included, is success (specification, "DEL").
  virtual Status Del(const Request& request) = 0;
  // OK only if the container still has what prevResult says. REQUIRES: conf.prev_result.
  virtual Status Check(const Request& request) = 0;
  // STATUS: kPluginNotAvailable or kLimitedConnectivity when ADD could not be served now.
  virtual Status Ready(const Request&) { return {}; }
  // Removes what belongs to attachments of this network that are not in `valid`.
  virtual Status Gc(const Request&, const std::vector<Attachment>&) { return {}; }
};

using MakePlugin = std::unique_ptr<Plugin> (*)();

// A name this binary answers to.
struct PluginEntry {
  std::string_view name;
  MakePlugin make;
  bool ipam = false;  // may be delegated to in process, by DelegateAdd and its kin (ipam.h)
};
// The table (registry.cc); nullptr when `name` is not ours.
const PluginEntry* FindPlugin(std::string_view name);
std::span<const PluginEntry> AllPlugins();

}  // namespace keelson::cni
