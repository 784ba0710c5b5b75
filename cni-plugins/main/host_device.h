// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "cni-plugins/lib/types.h"

namespace keelson::cni {

// How the device is named; the first one given, in this order, counts. runtimeConfig.deviceID
// replaces pciBusID.
struct HostDeviceConf {
  std::string device;
  std::optional<Mac> hwaddr;
  std::string kernel_path;  // below /sys/devices/
  std::string pci_address;
  std::string device_id;  // a PCI or auxiliary bus id
  // Set by ResolveDeviceId:
  std::string auxiliary;
  bool userspace_driver = false;  // DPDK: there is no network device to move
};

// Decodes and checks; pure.
Or<HostDeviceConf> ParseHostDeviceConf(const Request& request);
// Finds out on which bus device_id is, and the PCI device's driver. `sys` is /sys.
Status ResolveDeviceId(const std::string& sys, HostDeviceConf* conf);
// The (first) network device of a PCI address.
Or<std::string> PciNetDevice(const std::string& sys, const std::string& address);
// The first entry of a "net" directory.
Or<std::string> NetDeviceBelow(const std::string& dir);

}  // namespace keelson::cni
