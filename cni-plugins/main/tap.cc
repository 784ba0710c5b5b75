// SPDX-License-Identifier: Apache-2.0
// tap: a persistent tap device in the container, for a virtual machine's backend to open.

#include "cni-plugins/main/tap.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "cni-plugins/lib/configure.h"
#include "cni-plugins/lib/device.h"
#include "cni-plugins/lib/skel.h"
#include "cni-plugins/lib/undo.h"
#include "cni-plugins/registry.h"

namespace keelson::cni {

namespace {

struct TapConf {
  TapSpec spec;
  int mtu = 0;
  std::optional<Mac> mac;
  std::string selinux_context;  // of whoever may open the device
  std::string bridge;           // in the container
};

Or<TapConf> Parse(const Request& request) {
  Status error;
  const Reader r = request.conf.Read(&error);
  TapConf c;
  c.spec.name = request.args.ifname;
  c.spec.multi_queue = r["multiQueue"].Bool();
  if (r["owner"].given()) c.spec.owner = r["owner"].Int(0, 0, UINT32_MAX);
  if (r["group"].given()) c.spec.group = r["group"].Int(0, 0, UINT32_MAX);
  c.mtu = static_cast<int>(r["mtu"].Int(0, 0, INT32_MAX));
  c.selinux_context = r["selinuxContext"].String();
  c.bridge = r["bridge"].String();
  if (!c.bridge.empty()) {
    if (Status s = CheckIfName(c.bridge); !s.ok()) r["bridge"].Fail(s.message());
  }
  CNI_TRY(error);
  CNI_LET(c.mac, RequestedMac(request, MacField::kTopLevel));
  return c;
}

// The device's label is that of the process which makes it: one that runs under `context` and does
// nothing else. This is the only time that we start ourselves.
Status MakeLabelled(const TapConf& conf) {
  Status s = WriteExisting("/proc/self/attr/exec", conf.selinux_context);
  if (!s.ok()) return Status::Invalid("selinuxContext: " + s.message());
  std::vector<std::string> words = {"keelson-cni",
                                    "--make-tap",
                                    conf.spec.name,
                                    conf.spec.multi_queue ? "1" : "0",
                                    conf.spec.owner ? std::to_string(*conf.spec.owner) : "",
                                    conf.spec.group ? std::to_string(*conf.spec.group) : ""};
  std::vector<char*> argv;
  for (std::string& w : words) argv.push_back(w.data());
  argv.push_back(nullptr);
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, "/proc/self/exe", nullptr, nullptr, argv.data(), environ);
  Status reset = WriteExisting("/proc/self/attr/exec", "");  // ends with this process anyway
  if (error != 0) return Status::Errno(error, "selinuxContext: run the tap maker");
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return Status::Internal("failed to create tap under \"" + conf.selinux_context + "\"");
}

class Tap final : public DevicePlugin {
 public:
  Tap() : DevicePlugin("tun", Ipam::kOptional) {}

 protected:
  Status CheckConf(const Request& request) override { return Parse(request).status(); }

  void Tune(const std::string& ifname) override {
    Status ignored = WriteSysctl("net/ipv4/conf/" + ifname + "/arp_notify", "1");
  }

  Status Make(const Request& request, Ends& ends) override {
    CNI_LET(const TapConf conf, Parse(request));
    CNI_TRY(ends.ns.Run([&] {
      return conf.selinux_context.empty() ? MakeTapDevice(conf.spec) : MakeLabelled(conf);
    }));
    CNI_LET(const Link link, ends.container.ByName(conf.spec.name));
    Undo undo;
    undo.Push("delete tap", [&] { return ends.container.Delete(link.index); });
    LinkChange change;
    if (conf.mtu != 0) change.mtu = conf.mtu;
    change.mac = conf.mac;
    if (!conf.bridge.empty()) {
      Or<Link> bridge = ends.container.ByName(conf.bridge);
      if (!bridge.ok()) return Status::Invalid("bridge: " + bridge.status().message());
      change.master = bridge->index;
    }
    if (change.mtu || change.mac || change.master) {
      CNI_TRY(ends.container.Change(link.index, change));
    }
    undo.Keep();
    return {};
  }
};

}  // namespace

Status MakeTapDevice(const TapSpec& spec) {
  const Fd tun(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  if (!tun.valid()) return Status::Errno(errno, "open /dev/net/tun");
  ifreq request{};
  std::strncpy(request.ifr_name, spec.name.c_str(), IFNAMSIZ - 1);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (spec.multi_queue) request.ifr_flags |= IFF_MULTI_QUEUE;
  if (::ioctl(tun.get(), TUNSETIFF, &request) < 0) {
    return Status::Errno(errno, "create tap " + spec.name);
  }
  // Until TUNSETPERSIST the device goes with the descriptor: no undo is needed.
  if (spec.owner && ::ioctl(tun.get(), TUNSETOWNER, static_cast<unsigned long>(*spec.owner)) < 0) {
    return Status::Errno(errno, "owner: set owner of tap " + spec.name);
  }
  if (spec.group && ::ioctl(tun.get(), TUNSETGROUP, static_cast<unsigned long>(*spec.group)) < 0) {
    return Status::Errno(errno, "group: set group of tap " + spec.name);
  }
  if (::ioctl(tun.get(), TUNSETPERSIST, 1UL) < 0) {
    return Status::Errno(errno, "keep tap " + spec.name);
  }
  return {};
}

std::unique_ptr<Plugin> MakeTap() { return std::make_unique<Tap>(); }

}  // namespace keelson::cni
