// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/lib/skel.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "cni-plugins/lib/netns.h"
#include "cni-plugins/lib/os.h"

namespace keelson::cni {

namespace {

bool IsIdChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.' || c == '-';
}

Status BadEnvironment(const std::string& message) { return {Code::kInvalidEnvironment, message}; }

Status CheckContainerId(std::string_view id) {
  const bool good = !id.empty() && IsIdChar(id[0]) && id[0] != '_' && id[0] != '.' &&
                    id[0] != '-' && std::ranges::all_of(id, IsIdChar);
  if (good) return {};
  return BadEnvironment("CNI_CONTAINERID: invalid characters in \"" + std::string(id) + "\"");
}

// Which variables a verb cannot do without (specification, section 2; CNI_PATH as libcni has it).
struct Need {
  std::string_view command;
  bool container;  // CNI_CONTAINERID and CNI_IFNAME
  bool netns;
  std::string_view since;  // the first version with this verb
};
constexpr Need kNeeds[] = {
    {"ADD", true, true, "0.1.0"},   {"DEL", true, false, "0.1.0"},
    {"CHECK", true, true, "0.4.0"}, {"STATUS", false, false, "1.1.0"},
    {"GC", false, false, "1.1.0"},
};

const Need* FindNeed(std::string_view command) {
  const auto* it = std::ranges::find(kNeeds, command, &Need::command);
  return it == std::end(kNeeds) ? nullptr : it;
}

Or<Args> ReadArgs(const Need& need, const GetEnv& env) {
  Args args;
  args.command = std::string(need.command);
  args.container_id = env("CNI_CONTAINERID");
  args.netns = env("CNI_NETNS");
  args.ifname = env("CNI_IFNAME");
  args.path = env("CNI_PATH");
  args.args = env("CNI_ARGS");
  std::string missing;
  const auto require = [&](bool needed, const std::string& value, const char* name) {
    if (needed && value.empty()) missing += (missing.empty() ? "" : ",") + std::string(name);
  };
  require(need.container, args.container_id, "CNI_CONTAINERID");
  require(need.netns, args.netns, "CNI_NETNS");
  require(need.container, args.ifname, "CNI_IFNAME");
  require(true, args.path, "CNI_PATH");
  if (!missing.empty()) {
    return BadEnvironment("required env variables [" + missing + "] missing");
  }
  if (need.container) {
    CNI_TRY(CheckContainerId(args.container_id));
    CNI_TRY(CheckIfName(args.ifname).Within("CNI_IFNAME"));
  }
  return args;
}

// A runtime that passes its own namespace by mistake must not have its devices rearranged.
// CNI_NETNS_OVERRIDE allows it, as with libcni.
Status CheckNotOurNetns(const Args& args, const GetEnv& env) {
  std::string override = env("CNI_NETNS_OVERRIDE");
  for (char& c : override) c = static_cast<char>(c & ~0x20);
  if (args.netns.empty() || override == "TRUE" || env("CNI_NETNS_OVERRIDE") == "1") return {};
  Or<NetNs> theirs = NetNs::Open(args.netns);
  if (!theirs.ok()) {
    return args.command == "DEL" && NetNs::IsGone(theirs.status()) ? Status() : theirs.status();
  }
  CNI_LET(const NetNs ours, NetNs::Current());
  if (!ours.SameAs(*theirs)) return {};
  return {Code::kInvalidNetns,
          "CNI_NETNS: plugin's netns and netns from CNI_NETNS should not be the same"};
}

std::string VersionJson() {
  Json j = Json::Object();
  j.Set("cniVersion", Json(kNewestVersion));
  Json& versions = j.Set("supportedVersions", Json::Array());
  for (const std::string_view v : SupportedVersions()) versions.Append(Json(v));
  return j.Dump() + "\n";
}

std::string About(const PluginEntry& entry) {
  std::string text = "CNI " + std::string(entry.name) +
                     " plugin keelson v" KEELSON_VERSION "\nCNI protocol versions supported: ";
  bool first = true;
  for (const std::string_view v : SupportedVersions()) {
    text += (first ? "" : ", ") + std::string(v);
    first = false;
  }
  return text + "\n";
}

// Runs the verb; a result's JSON or nothing.
Or<std::string> Call(Plugin& plugin, const Request& request) {
  const std::string& command = request.args.command;
  if (command == "ADD") {
    CNI_LET(const Result result, plugin.Add(request));
    CNI_LET(const Json json, result.ToJson(request.conf.cni_version));
    return json.Dump(/*pretty=*/true);
  }
  if (command == "DEL") {
    CNI_TRY(plugin.Del(request));
  } else if (command == "CHECK") {
    CNI_TRY(plugin.Check(request));
  } else if (command == "STATUS") {
    CNI_TRY(plugin.Ready(request));
  } else {
    CNI_LET(const std::vector<Attachment> valid, ValidAttachments(request.conf));
    CNI_TRY(plugin.Gc(request, valid));
  }
  return std::string();
}

// `version` becomes known half-way and is wanted for the error, too.
Or<std::string> Run(const PluginEntry& entry, const std::string& command, const GetEnv& env,
                    const ReadStdin& read_stdin, std::string* version) {
  if (command == "VERSION") return VersionJson();
  const Need* need = FindNeed(command);
  if (!need) return BadEnvironment("CNI_COMMAND: unknown command \"" + command + "\"");
  Request request;
  CNI_LET(request.args, ReadArgs(*need, env));
  CNI_LET(const std::string text, read_stdin());
  CNI_LET(request.conf, NetConf::Parse(text));
  *version = request.conf.cni_version;
  if (!VersionAtLeast(*version, need->since)) {
    return Status(Code::kIncompatibleVersion,
                  "cniVersion: config version does not allow " + command);
  }
  if (command == "CHECK" && !request.conf.prev_result) {
    return Status::Invalid("prevResult: required by CHECK");
  }
  const std::unique_ptr<Plugin> plugin = entry.make();
  CNI_TRY(plugin->Validate(request));
  CNI_TRY(CheckNotOurNetns(request.args, env));
  return Call(*plugin, request);
}

}  // namespace

Status CheckIfName(std::string_view ifname) {
  if (ifname.empty()) return BadEnvironment("interface name is empty");
  const std::string quoted = "\"" + std::string(ifname) + "\" ";
  if (ifname.size() > 15) return BadEnvironment(quoted + "is longer than 15 characters");
  if (ifname == "." || ifname == "..") return BadEnvironment(quoted + "is not an interface name");
  for (const char c : ifname) {
    if (c == '/' || c == ':' || static_cast<uint8_t>(c) <= ' ' || c == 0x7f) {
      return BadEnvironment(quoted + "contains '/', ':', a space or a control character");
    }
  }
  return {};
}

std::string ErrorJson(const Status& status, std::string_view version) {
  Json j = Json::Object();
  if (!version.empty()) j.Set("cniVersion", Json(version));
  j.Set("code", Json(static_cast<int>(status.code())));
  j.Set("msg", Json(status.message()));
  if (!status.details().empty()) j.Set("details", Json(status.details()));
  return j.Dump(/*pretty=*/true);
}

Answer Serve(const PluginEntry& entry, const GetEnv& env, const ReadStdin& read_stdin) {
  const std::string command = env("CNI_COMMAND");
  if (command.empty()) return {0, "", About(entry)};
  std::string version(kNewestVersion);
  Or<std::string> out = Run(entry, command, env, read_stdin, &version);
  if (!out.ok()) return {1, ErrorJson(out.status(), version), ""};
  return {0, *out, ""};
}

int PluginMain(const PluginEntry& entry) {
  const auto env = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value ? value : "");
  };
  const auto read_stdin = []() -> Or<std::string> {
    Or<std::string> text = ReadAll(STDIN_FILENO, Json::kMaxBytes);
    if (!text.ok()) return Status(Code::kIo, "stdin: " + text.status().message());
    return text;
  };
  const Answer answer = Serve(entry, env, read_stdin);
  Status written = WriteAll(STDERR_FILENO, answer.err);
  written = WriteAll(STDOUT_FILENO, answer.out);
  if (written.ok()) return answer.exit_code;
  std::fprintf(stderr, "stdout: %s\n", written.message().c_str());
  return 1;
}

}  // namespace keelson::cni
