// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cni-plugins/lib/ip.h"
#include "cni-plugins/lib/os.h"
#include "cni-plugins/lib/status.h"

namespace keelson::cni {

// Who holds an address.
struct LeaseOwner {
  std::string container_id;
  std::string ifname;  // empty in files of old versions: any interface
  friend bool operator==(const LeaseOwner&, const LeaseOwner&) = default;
};

struct Lease {
  Ip ip;
  LeaseOwner owner;
};

// The addresses of one network on disk, in the layout of the Go plugin, so that either may take
// over from the other at any time: below the data directory a directory per network, in it
//   <ip>                  "<container id>\r\n<interface>"
//   last_reserved_ip.<n>  the address range set n gave away last
//   lock                  flock(2)ed by whoever looks or changes
// and one file the Go plugin neither makes nor minds:
//   keelson_boot          which boot of the machine made which lease (see ReclaimFromEarlierBoots)
// Open takes the lock and destruction (or death) frees it. Names are looked up below directory
// descriptors and symbolic links are never followed.
class LeaseStore {
 public:
  static constexpr const char* kDefaultDir = "/var/lib/cni/networks";

  // Makes the directory if `create`; without, sys_errno() is ENOENT when there is none.
  // kTryAgainLater when the lock stays taken for half a minute. REQUIRES: `network` is a checked
  // name.
  static Or<LeaseStore> Open(const std::string& data_dir, const std::string& network, bool create);

  // All leases. A torn file (a crash came between its creation and its content) says nobody holds
  // the address: it is removed, with a warning on stderr.
  Or<std::vector<Lease>> Leases();

  // False if somebody holds `ip`. Remembers it as the last one of range set `set`.
  Or<bool> Reserve(const Ip& ip, const LeaseOwner& owner, size_t set);
  // OK if it was free.
  Status Release(const Ip& ip);
  std::optional<Ip> LastReserved(size_t set) const;

  // Frees leases known to be from before a reboot, whose containers cannot exist any more (a power
  // cut keeps their DEL from ever coming, and a small range would fill up for good). Only leases
  // this plugin made are judged, by boot id and not by clock: clocks jump. `boot_id` is the present
  // one.
  Status ReclaimFromEarlierBoots(const std::string& boot_id);
  // Notes in keelson_boot that `lease` was made in the boot `boot_id`.
  Status NoteBoot(const Lease& lease, const std::string& boot_id);

 private:
  LeaseStore(std::string path, Fd dir, Fd lock)
      : path_(std::move(path)), dir_(std::move(dir)), lock_(std::move(lock)) {}
  std::optional<std::string> Read(const std::string& name) const;
  Status Replace(const std::string& name, const std::string& text) const;

  std::string path_;  // for messages
  Fd dir_;
  Fd lock_;
};

// The content of a lease file: nullopt when torn.
std::optional<LeaseOwner> ParseLease(std::string_view content);

}  // namespace keelson::cni
