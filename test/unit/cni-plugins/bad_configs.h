// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace keelson::cni {

// A configuration that must be refused, with the code and a word of the message that names the
// field. Shared by the unit test (nothing outside is looked at) and the integration test (nothing
// outside is left behind).
struct BadConfig {
  const char* plugin;
  const char* conf;
  int code;
  const char* names;
};

// `conf` without braces, cniVersion and name, which the test adds; verbatim if it starts with '!'.
inline const std::vector<BadConfig>& BadConfigs() {
  static const std::vector<BadConfig> kAll = {
      {"bridge", "!", 6, "JSON"},
      {"bridge", "!{\"cniVersion\":\"1.0.0\",\"name\":\"n\"", 6, "JSON"},
      {"bridge", "![1]", 6, "configuration"},
      {"bridge", "!{\"cniVersion\":\"7.0.0\",\"name\":\"n\"}", 1, "cniVersion"},
      {"bridge", "!{\"cniVersion\":true,\"name\":\"n\"}", 7, "cniVersion"},
      {"bridge", "!{\"cniVersion\":\"1.0.0\"}", 7, "name"},
      {"bridge", "!{\"cniVersion\":\"1.0.0\",\"name\":\"../../etc\"}", 7, "name"},
      {"bridge", "\"isGateway\":\"yes\"", 7, "isGateway"},
      {"bridge", "\"bridge\":7", 7, "bridge"},
      {"bridge", "\"bridge\":\"a/../b\"", 7, "bridge"},
      {"bridge", "\"bridge\":\"muchtoolongforaname\"", 7, "bridge"},
      {"bridge", "\"mtu\":-1", 7, "mtu"},
      {"bridge", "\"mtu\":1e3", 7, "mtu"},
      {"bridge", "\"vlan\":4095", 7, "vlan"},
      {"bridge", "\"vlanTrunk\":{}", 7, "vlanTrunk"},
      {"bridge", "\"vlanTrunk\":[{\"minID\":5}]", 7, "vlanTrunk[0]"},
      {"bridge", "\"vlanTrunk\":[{\"id\":1},{\"minID\":9,\"maxID\":5}]", 7, "vlanTrunk[1]"},
      {"bridge", "\"vlanTrunk\":[{\"id\":0}]", 7, "vlanTrunk[0].id"},
      {"bridge", "\"hairpinMode\":true,\"promiscMode\":true", 7, "hairpinMode"},
      {"bridge", "\"disableContainerInterface\":true,\"ipam\":{\"type\":\"host-local\"}", 7,
       "disableContainerInterface"},
      {"bridge", "\"ipMasqBackend\":\"pf\"", 7, "ipMasqBackend"},
      {"bridge", "\"runtimeConfig\":{\"mac\":\"02:00\"}", 7, "runtimeConfig.mac"},
      {"bridge", "\"args\":{\"cni\":{\"mac\":\"zz:zz:zz:zz:zz:zz\"}}", 7, "args.cni.mac"},
      {"bridge", "\"ipam\":[]", 7, "ipam"},
      {"bridge", "\"dns\":{\"nameservers\":\"8.8.8.8\"}", 7, "dns.nameservers"},
      {"bridge", "\"prevResult\":{\"ips\":[{\"address\":\"10.0.0.300/8\"}]}", 7,
       "prevResult.ips[0].address"},
      {"ptp", "\"ipMasq\":1", 7, "ipMasq"},
      {"ptp", "\"type\":\"ptp\"", 7, "ipam"},
      {"macvlan", "\"mode\":\"sideways\"", 7, "mode"},
      {"macvlan", "\"bcqueuelen\":-1", 7, "bcqueuelen"},
      {"macvlan", "\"mac\":\"02:00:00:00:00:0\"", 7, "mac"},
      {"macvlan", "\"linkInContainer\":\"no\"", 7, "linkInContainer"},
      {"ipvlan", "\"mode\":\"l4\",\"master\":\"lo\"", 7, "mode"},
      {"ipvlan", "\"master\":\"lo\"", 7, "ipam"},
      {"vlan", "\"vlanId\":5", 7, "master"},
      {"vlan", "\"master\":\"lo\",\"vlanId\":4095", 7, "vlanId"},
      {"vlan", "\"master\":\"lo\",\"vlanId\":5", 7, "ipam"},
      {"dummy", "\"type\":\"dummy\"", 7, "ipam"},
      {"host-device", "\"type\":\"host-device\"", 7, "device"},
      {"host-device", "\"hwaddr\":\"nonsense\"", 7, "hwaddr"},
      {"host-device", "\"kernelpath\":\"/sys/devices/../../etc\"", 7, "kernelpath"},
      {"host-device", "\"pciBusID\":\"../../../../etc\"", 7, "pciBusID"},
      {"tap", "\"owner\":-5", 7, "owner"},
      {"tap", "\"multiQueue\":\"on\"", 7, "multiQueue"},
      {"tap", "\"bridge\":\"no such name\"", 7, "bridge"},
  };
  return kAll;
}

inline std::string FullConfig(const BadConfig& bad) {
  if (bad.conf[0] == '!') return bad.conf + 1;
  return std::string("{\"cniVersion\":\"1.0.0\",\"name\":\"klbad\",") + bad.conf + "}";
}

}  // namespace keelson::cni
