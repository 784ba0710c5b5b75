// SPDX-License-Identifier: Apache-2.0
// Flags, then files, then flags again: what the command line says always wins.
#include <unistd.h>

#include <algorithm>
#include <climits>

#include "absl/strings/numbers.h"
#include "base/errno_status.h"
#include "base/files.h"
#include "base/strings.h"
#include "kubelet/options/flags.h"
#include "kubelet/options/parts.h"
#include "proto/codec/codec.h"

namespace keelson::kubelet {

using base::StrCat;
using proto::Value;

namespace {

struct TextFlag {
  const char* name;
  std::string KubeletOptions::*field;
};
constexpr TextFlag kTextFlags[] = {
    {"root-dir", &KubeletOptions::root_dir},
    {"cert-dir", &KubeletOptions::cert_dir},
    {"kubeconfig", &KubeletOptions::kubeconfig},
    {"bootstrap-kubeconfig", &KubeletOptions::bootstrap_kubeconfig},
    {"hostname-override", &KubeletOptions::hostname_override},
    {"node-ip", &KubeletOptions::node_ip},
    {"cloud-provider", &KubeletOptions::cloud_provider},
    {"image-credential-provider-config", &KubeletOptions::image_credential_provider_config},
    {"image-credential-provider-bin-dir", &KubeletOptions::image_credential_provider_bin_dir},
    {"runtime-cgroups", &KubeletOptions::runtime_cgroups},
    {"lock-file", &KubeletOptions::lock_file},
    {"minimum-container-ttl-duration", &KubeletOptions::minimum_container_ttl},
};

std::string TextOf(const CommandLine& line, std::string_view name) {
  for (const GivenFlag& flag : line.flags)
    if (name == flag.spec->name) return flag.texts.back();
  return "";
}

std::string Absolute(const std::string& path) {
  if (path.empty() || path[0] == '/') return path;
  char cwd[PATH_MAX];
  return ::getcwd(cwd, sizeof cwd) == nullptr ? path : base::JoinPath(cwd, path);
}

std::string TrimLower(std::string text) {
  size_t first = text.find_first_not_of(" \t\n");
  if (first == std::string::npos) return "";
  text = text.substr(first, text.find_last_not_of(" \t\n") - first + 1);
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return tolower(c); });
  return text;
}

// A flag that has no field in the file.
void SetFlagOnly(const FlagSpec& spec, const Value& value, KubeletOptions* options) {
  const std::string_view name = spec.name;
  for (const TextFlag& flag : kTextFlags)
    if (name == flag.name) options->*flag.field = value.text;
  if (name == "exit-on-lock-contention") options->exit_on_lock_contention = value.boolean;
  if (name == "node-labels")
    for (const proto::Member& m : value.members) options->node_labels[m.key] = m.value.text;
  int number = 0;
  if (value.kind == Value::Kind::kNumber && absl::SimpleAtoi(value.text, &number)) {
    if (name == "maximum-dead-containers-per-container")
      options->maximum_dead_containers_per_container = number;
    if (name == "maximum-dead-containers") options->maximum_dead_containers = number;
  }
}

// Maps from flags replace those of the file, but for feature gates, which merge; --seccomp-default
// can only switch on.
void Override(const FlagSpec& spec, Value value, Value* tree) {
  if (spec.kind == FlagKind::kBoolMap) return proto::MergePatch(value, &Slot(*tree, spec.field));
  if (std::string_view(spec.name) == "seccomp-default" && !value.boolean) return;
  Slot(*tree, spec.field) = std::move(value);
}

absl::Status ApplyFlags(const CommandLine& line, KubeletOptions* options) {
  auto tree = proto::EncodeTree(options->config);
  if (!tree.ok()) return tree.status();
  bool changed = false;
  for (const GivenFlag& flag : line.flags) {
    auto value = ValueOfFlag(flag);
    if (!value.ok()) return value.status();
    options->set_explicitly.push_back(StrCat("--", flag.spec->name));
    if (flag.spec->deprecated)
      options->warnings.push_back(
          *flag.spec->field == '\0'
              ? StrCat("Flag --", flag.spec->name, " has been deprecated and will be removed")
              : StrCat("Flag --", flag.spec->name, " has been deprecated, set ", flag.spec->field,
                       " in the file given by --config instead"));
    if (*flag.spec->field == '\0') {
      SetFlagOnly(*flag.spec, *value, options);
    } else {
      Override(*flag.spec, std::move(*value), &*tree);
      changed = true;
    }
  }
  if (!changed) return absl::OkStatus();
  proto::DecodeOptions decode;
  decode.source = "flags";
  return proto::DecodeTree(*tree, &options->config, decode);
}

// What follows from the settings once all are known and good.
void Settle(KubeletOptions* options) {
  auto& config = options->config;
  options->hostname_override = TrimLower(options->hostname_override);
  if (config.cgroupsperqos() && config.cgrouproot().empty()) config.set_cgrouproot("/");
  if (!config.reservedsystemcpus().empty()) {
    config.mutable_kubereserved()->erase("cpu");
    (*config.mutable_systemreserved())["cpu"] = StrCat(CountCpus(config.reservedsystemcpus()));
  }
  options->verbosity = static_cast<int>(config.logging().verbosity());
  options->log_json = config.logging().format() == "json";
}

// Members of `tree`, those below logging and access one by one. Without a file the members about
// access may be the legacy ones, which nobody set.
void NameWhatWasSet(const Value& tree, bool no_file, KubeletOptions* options) {
  for (const proto::Member& m : tree.members) {
    const bool access = m.key == "authentication" || m.key == "authorization";
    if (m.key == "apiVersion" || m.key == "kind") continue;
    if (no_file && (access || m.key == "readOnlyPort")) continue;
    if (!access && m.key != "logging") options->set_explicitly.push_back(m.key);
    else
      for (const proto::Member& sub : m.value.members)
        options->set_explicitly.push_back(StrCat(m.key, ".", sub.key));
  }
}

absl::Status Load(const CommandLine& line, KubeletOptions* options) {
  const std::string file = Absolute(TextOf(line, "config")), dir = Absolute(TextOf(line, "config-dir"));
  auto tree = ReadConfigFiles(file, dir, &options->warnings);
  if (!tree.ok()) return tree.status();
  proto::DecodeOptions lenient;
  lenient.source = "configuration";
  RETURN_IF_ERROR(proto::DecodeTree(*tree, &options->config, lenient));
  NameWhatWasSet(*tree, file.empty(), options);
  ApplyDefaults(*tree, &options->config);
  if (file.empty() && dir.empty()) ApplyLegacyDefaults(&options->config);
  return ApplyFlags(line, options);
}

}  // namespace

absl::StatusOr<LoadedOptions> LoadOptions(int argc, const char* const* argv) {
  std::vector<std::string> args(argv + std::min(argc, 1), argv + argc);
  auto line = ParseCommandLine(args);
  if (!line.ok()) return line.status();
  LoadedOptions loaded;
  if (line->help) loaded.early_output = HelpText();
  else if (!line->version.empty()) loaded.early_output = VersionText(line->version);
  if (!loaded.early_output.empty()) return loaded;
  RETURN_IF_ERROR(Load(*line, &loaded.options));
  std::string problems;
  for (const std::string& problem : Validate(loaded.options))
    base::StrAppend(&problems, problems.empty() ? "" : "\n", problem);
  if (!problems.empty()) return absl::InvalidArgumentError(problems);
  Settle(&loaded.options);
  return loaded;
}

}  // namespace keelson::kubelet
