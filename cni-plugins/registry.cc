// SPDX-License-Identifier: Apache-2.0
// The names this binary answers to, and nothing else.

#include "cni-plugins/registry.h"

#include <algorithm>

namespace keelson::cni {

namespace {

constexpr PluginEntry kPlugins[] = {
    {"bridge", MakeBridge},
    {"dummy", MakeDummy},
    {"host-device", MakeHostDevice},
    {"ipvlan", MakeIpvlan},
    {"loopback", MakeLoopback},
    {"macvlan", MakeMacvlan},
    {"ptp", MakePtp},
    {"tap", MakeTap},
    {"vlan", MakeVlan},
    {"dhcp", MakeDhcp, /*ipam=*/true},
    {"host-local", MakeHostLocal, /*ipam=*/true},
    {"static", MakeStatic, /*ipam=*/true},
    {"bandwidth", MakeBandwidth},
    {"firewall", MakeFirewall},
    {"portmap", MakePortmap},
    {"sbr", MakeSbr},
    {"tuning", MakeTuning},
    {"vrf", MakeVrf},
};

}  // namespace

std::span<const PluginEntry> AllPlugins() { return kPlugins; }

const PluginEntry* FindPlugin(std::string_view name) {
  const auto* it = std::ranges::find(kPlugins, name, &PluginEntry::name);
  return it == std::end(kPlugins) ? nullptr : it;
}

}  // namespace keelson::cni
