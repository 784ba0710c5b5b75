// SPDX-License-Identifier: Apache-2.0
// host-device: moves a device of the host into the container and back.

#include "cni-plugins/main/host_device.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "cni-plugins/lib/configure.h"
#include "cni-plugins/lib/device.h"
#include "cni-plugins/lib/ipam.h"
#include "cni-plugins/lib/undo.h"
#include "cni-plugins/registry.h"

namespace keelson::cni {

namespace {

bool IsPathPart(const std::string& s) {
  return !s.empty() && s != "." && s != ".." && s.find('/') == std::string::npos;
}

bool IsSysDevicePath(const std::string& path) {
  return path.starts_with("/sys/devices/") && (path + "/").find("/../") == std::string::npos;
}

bool Exists(const std::string& path) {
  struct stat st;
  return ::stat(path.c_str(), &st) == 0;
}

}  // namespace

Or<HostDeviceConf> ParseHostDeviceConf(const Request& request) {
  Status error;
  const Reader r = request.conf.Read(&error);
  HostDeviceConf c;
  c.device = r["device"].String();
  const std::string hwaddr = r["hwaddr"].String();
  c.kernel_path = r["kernelpath"].String();
  c.pci_address = r["pciBusID"].String();
  c.device_id = r["runtimeConfig"]["deviceID"].String();
  if (!hwaddr.empty()) {
    Or<Mac> mac = Mac::Parse(hwaddr);
    if (mac.ok())
      c.hwaddr = *mac;
    else
      r["hwaddr"].Fail(mac.status().message());
  }
  if (!c.kernel_path.empty() && !IsSysDevicePath(c.kernel_path)) {
    r["kernelpath"].Fail("\"" + c.kernel_path + "\" must be absolute and begin with /sys/devices/");
  }
  if (!c.pci_address.empty() && !IsPathPart(c.pci_address)) {
    r["pciBusID"].Fail("\"" + c.pci_address + "\" is not a PCI address");
  }
  if (!c.device_id.empty() && !IsPathPart(c.device_id)) {
    r["runtimeConfig"]["deviceID"].Fail("\"" + c.device_id + "\" is not a device id");
  }
  const bool named = !c.device.empty() || c.hwaddr || !c.kernel_path.empty() ||
                     !c.pci_address.empty() || !c.device_id.empty();
  if (!named)
    r["device"].Fail("specify either \"device\", \"hwaddr\", \"kernelpath\" or \"pciBusID\"");
  CNI_TRY(error);
  return c;
}

Status ResolveDeviceId(const std::string& sys, HostDeviceConf* conf) {
  if (!conf->device_id.empty()) {
    if (Exists(sys + "/bus/pci/devices/" + conf->device_id)) {
      conf->pci_address = conf->device_id;
    } else if (Exists(sys + "/bus/auxiliary/devices/" + conf->device_id)) {
      conf->pci_address.clear();
      conf->auxiliary = conf->device_id;
    } else {
      return Status::Invalid("runtimeConfig.deviceID: \"" + conf->device_id +
                             "\" not found or unsupported");
    }
  }
  if (conf->pci_address.empty()) return {};
  const std::string driver = sys + "/bus/pci/devices/" + conf->pci_address + "/driver";
  char target[4096];
  const ssize_t n = ::readlink(driver.c_str(), target, sizeof target);
  if (n < 0) return Status::Invalid("pciBusID: no driver for device " + conf->pci_address);
  const std::string path(target, static_cast<size_t>(n));
  const std::string name = path.substr(path.rfind('/') + 1);
  conf->userspace_driver = name == "vfio-pci" || name == "uio_pci_generic" || name == "igb_uio";
  return {};
}

Or<std::string> NetDeviceBelow(const std::string& dir) {
  Or<std::vector<std::string>> names = ListDir(dir);
  if (!names.ok()) return names.status();
  if (names->empty()) return Status::Internal("no network device in " + dir);
  return *std::ranges::min_element(*names);
}

Or<std::string> PciNetDevice(const std::string& sys, const std::string& address) {
  const std::string device = sys + "/bus/pci/devices/" + address;
  if (Exists(device + "/net")) return NetDeviceBelow(device + "/net");
  Or<std::vector<std::string>> names = ListDir(device);
  if (!names.ok()) return names.status();
  std::ranges::sort(*names);
  for (const std::string& name : *names) {  // the device of a virtio card is one level down
    const std::string net = device + "/" + name + "/net";
    if (name.starts_with("virtio") && Exists(net)) return NetDeviceBelow(net);
  }
  return Status::Invalid("pciBusID: no net directory under pci device " + address);
}

namespace {

constexpr char kSys[] = "/sys";

Or<Link> FindByAddress(Rtnl& host, const Mac& mac) {
  CNI_LET(const std::vector<Link> links, host.Links());
  for (const Link& link : links) {
    if (link.has_mac && link.mac == mac) return link;
  }
  return Status::Invalid("hwaddr: no device has the address " + mac.ToString());
}

Or<Link> FindHostDevice(Rtnl& host, const HostDeviceConf& conf) {
  std::string name = conf.device;
  if (name.empty() && conf.hwaddr) return FindByAddress(host, *conf.hwaddr);
  if (name.empty() && !conf.kernel_path.empty()) {
    CNI_LET(name, NetDeviceBelow(conf.kernel_path + "/net"));
  } else if (name.empty() && !conf.pci_address.empty()) {
    CNI_LET(name, PciNetDevice(kSys, conf.pci_address));
  } else if (name.empty()) {
    CNI_LET(name, NetDeviceBelow(std::string(kSys) + "/bus/auxiliary/devices/" + conf.auxiliary +
                                 "/net"));
  }
  Or<Link> link = host.ByName(name);
  if (link.ok()) return link;
  return Status::Invalid("device: failed to find host device \"" + name +
                         "\": " + link.status().message());
}

// Moves and renames in one request, so that nobody sees the device under a name in between, and
// notes in its alias what it was called. The kernel sets a device down when it moves.
Status MoveAs(Rtnl& from, const Link& link, const NetNs& to, const std::string& name) {
  LinkChange change;
  change.netns = &to;
  change.name = name;
  return from.Change(link.index, change);
}

// Takes back whatever part of moving `device` in has happened.
Status MoveBack(Ends& ends, const NetNs& home, const Link& device, const std::string& ifname) {
  for (const std::string& name : {ifname, device.name}) {
    Or<Link> inside = ends.container.ByName(name);
    if (!inside.ok() || inside->alias != device.name) continue;
    CNI_TRY(MoveAs(ends.container, *inside, home, device.name));
    break;
  }
  CNI_LET(const Link back, ends.host.ByName(device.name));
  LinkChange change;
  change.alias = device.alias;
  if (device.up()) change.up = true;
  return ends.host.Change(back.index, change);
}

Or<Link> MoveIn(Ends& ends, const Link& device, const std::string& ifname, Undo* undo) {
  CNI_LET(NetNs home, NetNs::Current());
  auto shared = std::make_shared<NetNs>(std::move(home));
  undo->Push("move " + device.name + " back",
             [&ends, shared, device, ifname] { return MoveBack(ends, *shared, device, ifname); });
  CNI_TRY(ends.host.Change(device.index, {.alias = device.name}));
  CNI_TRY(MoveAs(ends.host, device, ends.ns, ifname).Within("failed to move " + device.name));
  CNI_LET(const Link inside, ends.container.ByName(ifname));
  CNI_TRY(ends.container.Change(inside.index, {.up = true}));
  return inside;
}

// Back under the name noted in its alias. As its former state is not known, it stays down.
Status MoveOut(const std::string& netns, const std::string& ifname) {
  Or<NetNs> ns = NetNs::Open(netns);
  if (!ns.ok()) return NetNs::IsGone(ns.status()) ? Status() : ns.status();
  CNI_LET(Rtnl container, Rtnl::OpenIn(*ns));
  Or<Link> inside = container.ByName(ifname);
  if (!inside.ok()) return Rtnl::IsMissing(inside.status()) ? Status() : inside.status();
  if (inside->alias.empty()) {
    return Status::Internal("failed to find original ifname for " + ifname + " (alias is not set)");
  }
  CNI_LET(const NetNs home, NetNs::Current());
  CNI_LET(Rtnl host, Rtnl::Open());
  if (host.ByName(inside->alias).ok()) {
    return Status::Internal("cannot move " + ifname + " back: the host has another " +
                            inside->alias);
  }
  CNI_TRY(MoveAs(container, *inside, home, inside->alias));
  CNI_LET(const Link back, host.ByName(inside->alias));
  return host.Change(back.index, {.alias = ""});
}

class HostDevice final : public Plugin {
 public:
  Status Validate(const Request& request) override {
    CNI_TRY(ParseHostDeviceConf(request).status());
    return request.conf.ipam_type.empty() ? Status() : IpamValidate(request);
  }

  Or<Result> Add(const Request& request) override {
    const Args& a = request.args;
    CNI_LET(HostDeviceConf conf, ParseHostDeviceConf(request));
    CNI_TRY(ResolveDeviceId(kSys, &conf));
    CNI_LET(Ends ends, Ends::Open(a.netns));
    Undo undo;
    Interface interface { a.ifname, "", 0, a.netns, "", "" };
    if (!conf.userspace_driver) {
      CNI_LET(const Link device, FindHostDevice(ends.host, conf));
      CNI_TRY(CheckNameIsFree(ends.container, a.ifname));
      CNI_LET(const Link inside, MoveIn(ends, device, a.ifname, &undo));
      if (inside.has_mac) interface.mac = inside.mac.ToString();
    }
    Result result;
    if (!request.conf.ipam_type.empty()) {
      CNI_LET(result, IpamAdd(request));
      undo.Push("release address", [&] { return IpamDel(request); });
      if (result.ips.empty()) return Status::Internal("IPAM plugin returned missing IP config");
      OwnAllAddresses(&result, 0);
      result.dns = request.conf.dns;
    }
    result.interfaces = {interface};
    if (!conf.userspace_driver) {
      CNI_TRY(ends.ns.Run([&] { return ConfigureInterface(ends.container, a.ifname, result); }));
    }
    undo.Keep();
    return result;
  }

  Status Del(const Request& request) override {
    CNI_LET(HostDeviceConf conf, ParseHostDeviceConf(request));
    // A card that was pulled out is no reason to keep its address.
    Status resolved = ResolveDeviceId(kSys, &conf);
    Status first = request.conf.ipam_type.empty() ? Status() : IpamDel(request);
    const bool moved = resolved.ok() && !conf.userspace_driver && !request.args.netns.empty();
    Status out = moved ? MoveOut(request.args.netns, request.args.ifname) : Status();
    return first.ok() ? out : first;
  }

  Status Check(const Request& request) override {
    CNI_LET(HostDeviceConf conf, ParseHostDeviceConf(request));
    CNI_TRY(ResolveDeviceId(kSys, &conf));
    if (!request.conf.ipam_type.empty()) CNI_TRY(IpamCheck(request));
    if (conf.userspace_driver) return {};
    CNI_LET(Ends ends, Ends::Open(request.args.netns));
    CNI_TRY(CheckPrevInterface(request, ends.container, "").status());
    return CheckAddressesAndRoutes(ends.container, request.args.ifname, *request.conf.prev_result);
  }

  Status Ready(const Request& request) override {
    return request.conf.ipam_type.empty() ? Status() : IpamReady(request);
  }

  Status Gc(const Request& request, const std::vector<Attachment>& valid) override {
    return request.conf.ipam_type.empty() ? Status() : IpamGc(request, valid);
  }
};

}  // namespace

std::unique_ptr<Plugin> MakeHostDevice() { return std::make_unique<HostDevice>(); }

}  // namespace keelson::cni
