// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/lib/ipam.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

#include "cni-plugins/lib/os.h"

namespace keelson::cni {

namespace {

constexpr size_t kMaxResult = 4 << 20;

const PluginEntry* Ours(const Request& request) {
  const PluginEntry* entry = FindPlugin(request.conf.ipam_type);
  return entry && entry->ipam ? entry : nullptr;
}

Or<std::string> FindForeign(const Request& request) {
  const std::string& type = request.conf.ipam_type;
  if (type.find('/') != std::string::npos || type == "." || type == "..") {
    return Status::Invalid("ipam.type: \"" + type + "\" is not a plugin name");
  }
  std::string_view rest = request.args.path;
  while (!rest.empty()) {
    const size_t end = rest.find(':');
    const std::string candidate = std::string(rest.substr(0, end)) + "/" + type;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    rest = end == std::string_view::npos ? "" : rest.substr(end + 1);
  }
  return Status::Invalid("ipam.type: failed to find plugin \"" + type + "\" in path [" +
                         request.args.path + "]");
}

// The configuration as a file that cannot block its writer, whatever its size.
Or<Fd> AsFile(const std::string& text) {
  Fd fd(::memfd_create("cni-stdin", MFD_CLOEXEC));
  if (!fd.valid()) return Status::Errno(errno, "memfd_create");
  CNI_TRY(WriteAll(fd.get(), text));
  ::lseek(fd.get(), 0, SEEK_SET);
  return fd;
}

Or<std::string> RunChild(const std::string& path, const std::string& input, int* wait_status) {
  CNI_LET(const Fd in, AsFile(input));
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) return Status::Errno(errno, "pipe");
  Fd out(ends[0]);
  Fd child_out(ends[1]);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, in.get(), STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, child_out.get(), STDOUT_FILENO);
  char* argv[] = {const_cast<char*>(path.c_str()), nullptr};
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, path.c_str(), &actions, nullptr, argv, environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return Status::Errno(error, "run " + path);
  child_out = Fd();
  Or<std::string> text = ReadAll(out.get(), kMaxResult);
  out = Fd();
  while (::waitpid(pid, wait_status, 0) < 0 && errno == EINTR) {
  }
  return text;
}

Status ChildError(const std::string& path, const std::string& text) {
  Or<Json> json = Json::Parse(text);
  if (json.ok() && json->is_object()) {
    Status error;
    const Reader r(*json, &error);
    const int64_t code = r["code"].Int(0, 0, INT32_MAX);
    const std::string message = r["msg"].String();
    const std::string details = r["details"].String();
    if (error.ok() && code != 0) return {static_cast<Code>(code), message, details};
  }
  return Status::Internal(path + " failed without saying why");
}

// CNI_COMMAND and the rest are our own environment's, except in an undo: a failed ADD becomes DEL.
Or<std::string> CallForeign(const Request& request, const char* command) {
  CNI_LET(const std::string path, FindForeign(request));
  ::setenv("CNI_COMMAND", command, 1);
  int wait_status = 0;
  Or<std::string> text = RunChild(path, request.conf.json.Dump(), &wait_status);
  ::setenv("CNI_COMMAND", request.args.command.c_str(), 1);
  if (!text.ok()) return text.status();
  if (!WIFEXITED(wait_status) || WEXITSTATUS(wait_status) != 0) return ChildError(path, *text);
  return text;
}

// What 0.2.0 cannot say (more addresses, options of routes) does not arrive in process, either.
Or<Result> AsSpoken(const Result& result, const std::string& version) {
  if (VersionAtLeast(version, "0.3.0")) return result;
  CNI_LET(const Json json, result.ToJson(version));
  return Result::FromJson(json, version);
}

Or<Result> Understand(const std::string& text, const NetConf& conf) {
  Or<Json> json = Json::Parse(text);
  if (!json.ok()) return json.status().Within("result of " + conf.ipam_type);
  const Json* said = json->Find("cniVersion");
  const bool told = said && said->is_string() && !said->text().empty();
  const std::string spoken = told ? said->text() : conf.cni_version;
  if (!IsSupportedVersion(spoken)) {
    return Status(Code::kIncompatibleVersion,
                  conf.ipam_type + " answered in version \"" + spoken + "\"");
  }
  return Result::FromJson(*json, spoken);
}

}  // namespace

Or<Result> IpamAdd(const Request& request) {
  Or<Result> result = Status();
  if (const PluginEntry* entry = Ours(request)) {
    CNI_LET(const Result answer, entry->make()->Add(request));
    result = AsSpoken(answer, request.conf.cni_version);
  } else {
    CNI_LET(const std::string answer, CallForeign(request, "ADD"));
    result = Understand(answer, request.conf);
  }
  if (result.ok()) return result;
  // It has taken an address, but its answer is of no use.
  Status released = IpamDel(request);
  if (!released.ok()) std::fprintf(stderr, "release address: %s\n", released.message().c_str());
  return result;
}

Status IpamDel(const Request& request) {
  if (const PluginEntry* entry = Ours(request)) return entry->make()->Del(request);
  return CallForeign(request, "DEL").status();
}

Status IpamCheck(const Request& request) {
  if (const PluginEntry* entry = Ours(request)) return entry->make()->Check(request);
  return CallForeign(request, "CHECK").status();
}

Status IpamReady(const Request& request) {
  if (const PluginEntry* entry = Ours(request)) return entry->make()->Ready(request);
  return CallForeign(request, "STATUS").status();
}

Status IpamGc(const Request& request, const std::vector<Attachment>& valid) {
  if (const PluginEntry* entry = Ours(request)) return entry->make()->Gc(request, valid);
  return CallForeign(request, "GC").status();
}

Status IpamValidate(const Request& request) {
  if (const PluginEntry* entry = Ours(request)) return entry->make()->Validate(request);
  return {};
}

bool IpamNeedsLink(const Request& request) {
  return !Ours(request) || request.conf.ipam_type == "dhcp";
}

}  // namespace keelson::cni
