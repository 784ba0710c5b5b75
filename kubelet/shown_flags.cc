// SPDX-License-Identifier: Apache-2.0
#include "kubelet/shown_flags.h"

#include <algorithm>
#include <map>

#include "base/strings.h"
#include "kubelet/options/flags.h"
#include "proto/codec/codec.h"

namespace keelson::kubelet {
namespace {

using proto::Value;

// As the command line would have it: lists by comma, maps as key=value.
std::string TextOf(const Value& value) {
  std::string text;
  switch (value.kind) {
    case Value::Kind::kNull: return "";
    case Value::Kind::kBool: return value.boolean ? "true" : "false";
    case Value::Kind::kNumber:
    case Value::Kind::kString: return value.text;
    case Value::Kind::kList:
      for (const Value& item : value.items)
        base::StrAppend(&text, text.empty() ? "" : ",", TextOf(item));
      return text;
    case Value::Kind::kMap:
      for (const proto::Member& member : value.members)
        base::StrAppend(&text, text.empty() ? "" : ",", member.key, "=", TextOf(member.value));
      return text;
  }
  return text;
}

// Flags that are not fields of the configuration.
std::map<std::string, std::string> OwnFlags(const KubeletOptions& o) {
  std::string labels;
  for (const auto& [key, value] : o.node_labels)
    base::StrAppend(&labels, labels.empty() ? "" : ",", key, "=", value);
  return {{"root-dir", o.root_dir},
          {"cert-dir", o.cert_dir},
          {"kubeconfig", o.kubeconfig},
          {"bootstrap-kubeconfig", o.bootstrap_kubeconfig},
          {"hostname-override", o.hostname_override},
          {"node-ip", o.node_ip},
          {"node-labels", labels},
          {"cloud-provider", o.cloud_provider},
          {"image-credential-provider-config", o.image_credential_provider_config},
          {"image-credential-provider-bin-dir", o.image_credential_provider_bin_dir},
          {"runtime-cgroups", o.runtime_cgroups},
          {"lock-file", o.lock_file},
          {"exit-on-lock-contention", o.exit_on_lock_contention ? "true" : "false"},
          {"minimum-container-ttl-duration", o.minimum_container_ttl},
          {"maximum-dead-containers-per-container",
           std::to_string(o.maximum_dead_containers_per_container)},
          {"maximum-dead-containers", std::to_string(o.maximum_dead_containers)}};
}

}  // namespace

std::vector<std::pair<std::string, std::string>> ShownFlags(const KubeletOptions& options) {
  const std::map<std::string, std::string> own = OwnFlags(options);
  auto tree = proto::EncodeTree(options.config);
  std::vector<std::pair<std::string, std::string>> shown;
  for (const FlagSpec& flag : AllFlags()) {
    std::string text;
    if (auto it = own.find(flag.name); it != own.end()) {
      text = it->second;
    } else if (*flag.field != '\0' && tree.ok()) {
      if (const Value* value = Lookup(*tree, flag.field)) text = TextOf(*value);
    } else {
      continue;  // taken only so that old unit files start
    }
    // Headers of requests for manifests: passwords and tokens.
    if (flag.kind == FlagKind::kHeaders && !text.empty()) text = "CLASSIFIED";
    shown.emplace_back(flag.name, std::move(text));
  }
  std::ranges::sort(shown);
  return shown;
}

}  // namespace keelson::kubelet
