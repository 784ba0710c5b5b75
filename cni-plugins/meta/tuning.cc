// SPDX-License-Identifier: Apache-2.0
// tuning: sysctls of the container's network namespace and properties of its device.
#include <fcntl.h>
#include <net/if.h>
#include <regex.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>

#include "cni-plugins/ipam/request_ips.h"
#include "cni-plugins/lib/link.h"
#include "cni-plugins/lib/os.h"
#include "cni-plugins/lib/types.h"
#include "cni-plugins/lib/undo.h"

namespace keelson::cni {

namespace {

constexpr const char* kDefaultDataDir = "/run/cni/tuning";
constexpr const char* kAllowList = "/etc/cni/tuning/allowlist.conf";

struct Sysctl {
  std::string key;   // as configured, for messages
  std::string path;  // below /proc/sys
  std::string value;
};

struct Config {
  std::string data_dir;
  std::vector<Sysctl> sysctls;
  LinkChange link;
  bool changes_link() const {
    return link.mac || link.mtu || link.promisc || link.allmulti || link.tx_queue_len;
  }
};

// "net.ipv4.conf.IFNAME.arp_filter" to "net/ipv4/conf/eth0/arp_filter". Dots are separators; the
// interface's own name may hold some, so it is put in afterwards. Only net/ belongs to a container.
Or<std::string> SysctlPath(const Reader& where, std::string key, const std::string& ifname) {
  std::ranges::replace(key, '.', '/');
  if (const size_t at = key.find("IFNAME"); at != std::string::npos) key.replace(at, 6, ifname);
  std::string path;
  for (size_t at = 0; at < key.size();) {
    const size_t end = std::min(key.find('/', at), key.size());
    const std::string part = key.substr(at, end - at);
    if (part == ".." || part == ".") return Status::Invalid(where.path() + ": invalid sysctl key");
    if (!part.empty()) path += (path.empty() ? "" : "/") + part;
    at = end + 1;
  }
  if (!path.starts_with("net/") || path.find('\0') != std::string::npos) {
    return Status::Invalid(where.path() + ": invalid net sysctl key");
  }
  return path;
}

void ReadSysctls(const Reader& object, const std::string& ifname, Config* conf) {
  for (const auto& [key, value] : object.Members()) {
    const Or<std::string> path = SysctlPath(value, key, ifname);
    if (!path.ok()) return value.Fail("\"" + key + "\" is not a net sysctl");
    const Sysctl s{key, *path, value.String()};
    const auto it = std::ranges::find(conf->sysctls, s.path, &Sysctl::path);
    if (it != conf->sysctls.end()) {
      *it = s;
    } else {
      conf->sysctls.push_back(s);
    }
  }
}

// The configuration itself must not name a key twice (args.cni.sysctl may override it). Json keeps
// the last of equal members, so two spellings of one key are what can still be seen here.
void RefuseTwice(const Reader& object, const std::string& ifname) {
  std::vector<std::string> seen;
  for (const auto& [key, value] : object.Members()) {
    const Or<std::string> path = SysctlPath(value, key, ifname);
    if (!path.ok()) continue;  // reported by ReadSysctls
    if (std::ranges::find(seen, *path) != seen.end()) {
      return object.Fail("duplicated sysctl keys are not allowed (" + key + ")");
    }
    seen.push_back(*path);
  }
}

void ReadMac(const Reader& reader, Config* conf) {
  const std::string text = reader.String();
  if (text.empty()) return;
  const Or<Mac> mac = Mac::Parse(text);
  if (!mac.ok()) return reader.Fail("\"" + text + "\" is not a hardware address");
  conf->link.mac = *mac;
}

void ReadLinkMembers(const Reader& r, Config* conf) {
  ReadMac(r["mac"], conf);
  // false and 0 mean "leave it", as upstream has it.
  if (r["promisc"].given()) {
    conf->link.promisc = r["promisc"].Bool() ? std::optional<bool>(true) : std::nullopt;
  }
  if (const auto mtu = r["mtu"].Int(0, 0, INT32_MAX); mtu != 0) {
    conf->link.mtu = static_cast<int>(mtu);
  }
  if (r["allmulti"].given()) conf->link.allmulti = r["allmulti"].Bool();
  if (r["txQLen"].given()) {
    conf->link.tx_queue_len = static_cast<int>(r["txQLen"].Int(0, 0, INT32_MAX));
  }
}

Or<Config> Parse(const Request& request) {
  Status error;
  const Reader root = request.conf.Read(&error);
  const Reader args = root["args"]["cni"];
  Config conf;
  conf.data_dir = root["dataDir"].String();
  if (conf.data_dir.empty()) conf.data_dir = kDefaultDataDir;
  RefuseTwice(root["sysctl"], request.args.ifname);
  ReadSysctls(root["sysctl"], request.args.ifname, &conf);
  ReadSysctls(args["sysctl"], request.args.ifname, &conf);
  ReadLinkMembers(root, &conf);
  if (request.args.WishesCount()) {
    if (const auto mac = request.args.Arg("MAC"); mac && !mac->empty()) {
      const Or<Mac> parsed = Mac::Parse(*mac);
      if (!parsed.ok()) root["CNI_ARGS"]["MAC"].Fail("\"" + *mac + "\" is not a hardware address");
      if (parsed.ok()) conf.link.mac = *parsed;
    }
    ReadMac(root["runtimeConfig"]["mac"], &conf);
    ReadLinkMembers(args, &conf);
  }
  if (!error.ok()) return error;
  return conf;
}

// ---- allow list ---------------------------------------------------------------------------------

Or<bool> Matches(const std::string& pattern, const std::string& text) {
  regex_t regex;
  if (::regcomp(&regex, pattern.c_str(), REG_EXTENDED | REG_NOSUB) != 0) {
    return Status::Internal(std::string(kAllowList) + ": \"" + pattern +
                            "\" is not a POSIX extended regular expression");
  }
  const bool match = ::regexec(&regex, text.c_str(), 0, nullptr, 0) == 0;
  ::regfree(&regex);
  return match;
}

Status CheckAllowed(const Config& conf) {
  if (conf.sysctls.empty()) return {};
  const Or<std::string> list = ReadFile(kAllowList);
  if (!list.ok()) return list.status().sys_errno() == ENOENT ? Status() : list.status();
  for (const Sysctl& s : conf.sysctls) {
    bool allowed = false;
    for (size_t at = 0; at < list->size() && !allowed;) {
      const size_t end = std::min(list->find('\n', at), list->size());
      std::string line = list->substr(at, end - at);
      at = end + 1;
      line.erase(0, line.find_first_not_of(" \t\r"));
      line.erase(line.find_last_not_of(" \t\r") + 1);
      if (line.empty()) continue;
      CNI_LET(allowed, Matches(line, s.key));
    }
    if (!allowed) {
      return Status::Invalid("sysctl: " + s.key + " is not allowed by " + kAllowList);
    }
  }
  return {};
}

// ---- what was before ----------------------------------------------------------------------------

// "<container>_<interface>.json", with the Go plugin's members and the network's name for GC.
std::string BackupName(const std::string& container_id, const std::string& ifname) {
  return container_id + "_" + ifname + ".json";
}

Json Describe(const Link& link, const LinkChange& change, const std::string& network) {
  Json j = Json::Object();
  if (change.mac) j.Set("mac", Json(link.mac.ToString()));
  if (change.promisc) j.Set("promisc", Json(link.promiscuity != 0));
  if (change.mtu) j.Set("mtu", Json(link.mtu));
  if (change.allmulti) j.Set("allmulti", Json((link.flags & IFF_ALLMULTI) != 0));
  if (change.tx_queue_len) j.Set("txQLen", Json(link.tx_queue_len));
  j.Set("network", Json(network));
  return j;
}

Or<LinkChange> ParseBackup(const std::string& text) {
  CNI_LET(const Json json, Json::Parse(text));
  Status error;
  const Reader r(json, &error);
  LinkChange change;
  if (const std::string mac = r["mac"].String(); !mac.empty()) {
    CNI_LET(change.mac, Mac::Parse(mac));
  }
  if (r["promisc"].given()) change.promisc = r["promisc"].Bool();
  if (const auto mtu = r["mtu"].Int(0, 0, INT32_MAX); mtu != 0) {
    change.mtu = static_cast<int>(mtu);
  }
  if (r["allmulti"].given()) change.allmulti = r["allmulti"].Bool();
  if (r["txQLen"].given()) {
    change.tx_queue_len = static_cast<int>(r["txQLen"].Int(0, 0, INT32_MAX));
  }
  if (!error.ok()) return error;
  return change;
}

Or<Fd> OpenDataDir(const std::string& path) {
  Fd dir(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir.valid()) return Status::Errno(errno, "dataDir: open " + path);
  return dir;
}

Status WriteBackup(const std::string& dir_path, const std::string& name, const Json& json) {
  for (size_t slash = dir_path.find('/', 1);; slash = dir_path.find('/', slash + 1)) {
    const std::string part = dir_path.substr(0, slash);
    if (::mkdir(part.c_str(), 0700) < 0 && errno != EEXIST) {
      return Status::Errno(errno, "dataDir: mkdir " + part);
    }
    if (slash == std::string::npos) break;
  }
  CNI_LET(const Fd dir, OpenDataDir(dir_path));
  const Fd file(::openat(dir.get(), name.c_str(),
                         O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.valid()) return Status::Errno(errno, "dataDir: create " + dir_path + "/" + name);
  return WriteAll(file.get(), json.Dump(/*pretty=*/true));
}

// nullopt: no such file.
Or<std::optional<std::string>> ReadBackup(int dir, const std::string& name) {
  const Fd file(::openat(dir, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file.valid() && errno == ENOENT) return std::optional<std::string>();
  if (!file.valid()) return Status::Errno(errno, "dataDir: open " + name);
  CNI_LET(std::string text, ReadAll(file.get(), 64 << 10));
  return std::optional<std::string>(std::move(text));
}

Status RemoveBackup(int dir, const std::string& name) {
  if (::unlinkat(dir, name.c_str(), 0) < 0 && errno != ENOENT) {
    return Status::Errno(errno, "dataDir: remove " + name);
  }
  return {};
}

// ---- verbs --------------------------------------------------------------------------------------

class Tuning : public Plugin {
 public:
  Status Validate(const Request& request) override { return Parse(request).status(); }
  Or<Result> Add(const Request& request) override;
  Status Del(const Request& request) override;
  Status Check(const Request& request) override;
  Status Gc(const Request& request, const std::vector<Attachment>& valid) override;
};

Status ApplySysctls(const Config& conf, Undo* undo) {
  for (const Sysctl& s : conf.sysctls) {
    const Or<std::string> before = ReadSysctl(s.path);  // some can only be written
    CNI_TRY(WriteSysctl(s.path, s.value).Within("sysctl " + s.key));
    if (before.ok()) {
      undo->Push("sysctl " + s.key,
                 [path = s.path, value = *before] { return WriteSysctl(path, value); });
    }
  }
  return {};
}

Status ApplyLink(const Request& request, const Config& conf, Undo* undo) {
  if (!conf.changes_link()) return {};
  CNI_LET(Rtnl rtnl, Rtnl::Open());
  CNI_LET(const Link link, rtnl.ByName(request.args.ifname));
  const Json backup = Describe(link, conf.link, request.conf.name);
  const std::string name = BackupName(request.args.container_id, request.args.ifname);
  CNI_TRY(WriteBackup(conf.data_dir, name, backup));
  undo->Push("remove " + name, [dir = conf.data_dir, name]() -> Status {
    CNI_LET(const Fd fd, OpenDataDir(dir));
    return RemoveBackup(fd.get(), name);
  });
  // One message can fail half way.
  undo->Push("restore " + link.name, [index = link.index, backup]() -> Status {
    CNI_LET(Rtnl again, Rtnl::Open());
    CNI_LET(const LinkChange old, ParseBackup(backup.Dump()));
    return again.Change(index, old);
  });
  return rtnl.Change(link.index, conf.link);
}

Or<Result> Tuning::Add(const Request& request) {
  CNI_TRY(CheckArgKeys(request.args, {"MAC"}));
  CNI_LET(const Config conf, Parse(request));
  CNI_TRY(CheckAllowed(conf));
  if (!request.conf.prev_result) return Status::Invalid("prevResult: missing");
  CNI_LET(const NetNs ns, NetNs::Open(request.args.netns));
  CNI_TRY(ns.Run([&]() -> Status {
    Undo undo;
    CNI_TRY(ApplySysctls(conf, &undo));
    CNI_TRY(ApplyLink(request, conf, &undo));
    undo.Keep();
    return {};
  }));
  Result result = *request.conf.prev_result;
  for (Interface& i : result.interfaces) {
    if (conf.link.mac && i.name == request.args.ifname) i.mac = conf.link.mac->ToString();
  }
  return result;
}

// Sysctls die with the namespace; a device may be the host's and goes back there.
Status Tuning::Del(const Request& request) {
  CNI_LET(const Config conf, Parse(request));
  const Or<Fd> dir = OpenDataDir(conf.data_dir);
  if (!dir.ok()) return dir.status().sys_errno() == ENOENT ? Status() : dir.status();
  const std::string name = BackupName(request.args.container_id, request.args.ifname);
  CNI_LET(const std::optional<std::string> text, ReadBackup(dir->get(), name));
  if (!text) return {};
  const Or<LinkChange> before = ParseBackup(*text);
  const Or<NetNs> ns = request.args.netns.empty() ? Or<NetNs>(Status::Errno(ENOENT, "netns"))
                                                  : NetNs::Open(request.args.netns);
  if (before.ok() && ns.ok()) {
    CNI_LET(Rtnl rtnl, Rtnl::OpenIn(*ns));
    const Or<Link> link = rtnl.ByName(request.args.ifname);
    if (link.ok()) CNI_TRY(rtnl.Change(link->index, *before).Within("restore " + link->name));
  }
  return RemoveBackup(dir->get(), name);
}

Status Differs(const std::string& what, const std::string& want, const std::string& have) {
  return Status::Internal("tuning: configured " + what + " is " + want + ", current value is " +
                          have);
}

// With single spaces: the kernel puts tabs between the numbers of a list, people spaces.
std::string Words(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool space = c == ' ' || c == '\t' || c == '\n';
    if (!space) out += c;
    if (space && !out.empty() && out.back() != ' ') out += ' ';
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

Status CheckLink(const Link& link, const LinkChange& want) {
  const auto text = [](bool b) { return std::string(b ? "true" : "false"); };
  if (want.mac && link.mac != *want.mac) {
    return Differs("mac of " + link.name, want.mac->ToString(), link.mac.ToString());
  }
  const bool promisc = link.promiscuity != 0;
  if (want.promisc && promisc != *want.promisc) {
    return Differs("promisc of " + link.name, text(*want.promisc), text(promisc));
  }
  if (want.mtu && link.mtu != *want.mtu) {
    return Differs("mtu of " + link.name, std::to_string(*want.mtu), std::to_string(link.mtu));
  }
  const bool allmulti = (link.flags & IFF_ALLMULTI) != 0;
  if (want.allmulti && allmulti != *want.allmulti) {
    return Differs("allmulti of " + link.name, text(*want.allmulti), text(allmulti));
  }
  if (want.tx_queue_len && link.tx_queue_len != *want.tx_queue_len) {
    return Differs("txQLen of " + link.name, std::to_string(*want.tx_queue_len),
                   std::to_string(link.tx_queue_len));
  }
  return {};
}

Status Tuning::Check(const Request& request) {
  CNI_LET(const Config conf, Parse(request));
  if (!request.conf.prev_result) return Status::Invalid("prevResult: missing");
  CNI_LET(const NetNs ns, NetNs::Open(request.args.netns));
  return ns.Run([&]() -> Status {
    for (const Sysctl& s : conf.sysctls) {
      CNI_LET(const std::string now, ReadSysctl(s.path));
      if (Words(now) != Words(s.value)) return Differs(s.key, s.value, Words(now));
    }
    CNI_LET(Rtnl rtnl, Rtnl::Open());
    CNI_LET(const Link link, rtnl.ByName(request.args.ifname));
    return CheckLink(link, conf.link);
  });
}

// Backups of this network's containers that are gone. Those without a network are the Go plugin's,
// and whose they are is not known.
Status Tuning::Gc(const Request& request, const std::vector<Attachment>& valid) {
  CNI_LET(const Config conf, Parse(request));
  const Or<Fd> dir = OpenDataDir(conf.data_dir);
  if (!dir.ok()) return dir.status().sys_errno() == ENOENT ? Status() : dir.status();
  CNI_LET(const std::vector<std::string> names, ListDir(conf.data_dir));
  for (const std::string& name : names) {
    if (!name.ends_with(".json")) continue;
    const bool attached = std::ranges::any_of(
        valid, [&](const Attachment& a) { return name == BackupName(a.container_id, a.ifname); });
    if (attached) continue;
    const auto text = ReadBackup(dir->get(), name);
    if (!text.ok() || !*text) continue;
    const Or<Json> json = Json::Parse(**text);
    const Json* const network = json.ok() ? json->Find("network") : nullptr;
    if (!network || network->text() != request.conf.name) continue;
    CNI_TRY(RemoveBackup(dir->get(), name));
  }
  return {};
}

}  // namespace

std::unique_ptr<Plugin> MakeTuning() { return std::make_unique<Tuning>(); }

}  // namespace keelson::cni
