// SPDX-License-Identifier: Apache-2.0
#include "cri/identity.h"

#include <array>
#include <charconv>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/strings.h"
#include "proto/codec/codec.h"
#include "proto/codec/value.h"

namespace keelson::cri {

using base::StrCat;

namespace {

// A JSON string as Go's encoding/json writes it: <, > and & and the two line separators are escaped
// beside what JSON asks for, and invalid UTF-8 has been refused long before.
std::string GoJsonString(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      out += {'\\', c};
    else if (c == '\n')
      out += "\\n";
    else if (c == '\r')
      out += "\\r";
    else if (c == '\t')
      out += "\\t";
    else if (c == '\b')
      out += "\\b";
    else if (c == '\f')
      out += "\\f";
    else if (byte < 0x20 || c == '<' || c == '>' || c == '&')
      base::StrAppend(&out, "\\u00", kHex[byte >> 4], kHex[byte & 15]);
    else if (text.substr(i).starts_with("\xe2\x80\xa8") ||
             text.substr(i).starts_with("\xe2\x80\xa9")) {
      out += text[i + 2] == '\xa8' ? "\\u2028" : "\\u2029";
      i += 2;
    } else {
      out += c;
    }
  }
  return out + '"';
}

}  // namespace

std::string PodDescription(const v1::Pod& pod) {
  const auto& meta = pod.metadata();
  return StrCat(meta.name(), "_", meta.namespace_(), "(", meta.uid(), ")");
}

// Upstream hashes Go's debugging picture of the JSON's bytes, "([]uint8)[123 34 ...]", not the
// JSON.
std::string ContainerHash(const v1::Container& container) {
  const std::string json = StrCat("{\"image\":", GoJsonString(container.image()),
                                  ",\"name\":", GoJsonString(container.name()), "}");
  std::string picture = "([]uint8)[";
  for (size_t i = 0; i < json.size(); ++i)
    base::StrAppend(&picture, i == 0 ? "" : " ", static_cast<unsigned char>(json[i]) + 0);
  picture += ']';
  return StrCat(absl::Hex(base::Fnv1a32(picture)));
}

StringMap PodLabels(const v1::Pod& pod) {
  StringMap labels(pod.metadata().labels().begin(), pod.metadata().labels().end());
  labels[kPodNameLabel] = pod.metadata().name();
  labels[kPodNamespaceLabel] = pod.metadata().namespace_();
  labels[kPodUidLabel] = pod.metadata().uid();
  return labels;
}

StringMap ContainerLabels(const v1::Pod& pod, const v1::Container& container) {
  return {{kPodNameLabel, pod.metadata().name()},
          {kPodNamespaceLabel, pod.metadata().namespace_()},
          {kPodUidLabel, pod.metadata().uid()},
          {kContainerNameLabel, container.name()}};
}

absl::StatusOr<StringMap> ContainerAnnotations(const v1::Pod& pod, const v1::Container& container,
                                               uint32_t restart_count) {
  StringMap annotations{{kHashAnnotation, ContainerHash(container)},
                        {kRestartCountAnnotation, StrCat(restart_count)},
                        {kTerminationPathAnnotation, container.terminationmessagepath()},
                        {kTerminationPolicyAnnotation, container.terminationmessagepolicy()}};
  if (pod.metadata().has_deletiongraceperiodseconds())
    annotations[kDeletionGraceAnnotation] = StrCat(pod.metadata().deletiongraceperiodseconds());
  if (pod.spec().has_terminationgraceperiodseconds())
    annotations[kTerminationGraceAnnotation] = StrCat(pod.spec().terminationgraceperiodseconds());
  if (container.lifecycle().has_prestop()) {
    auto json = proto::EncodeJson(container.lifecycle().prestop());
    if (!json.ok()) return json.status();
    annotations[kPreStopAnnotation] = *std::move(json);
  }
  if (container.ports_size() > 0) {
    proto::Value list;
    list.kind = proto::Value::Kind::kList;
    for (const auto& port : container.ports()) {
      auto tree = proto::EncodeTree(port);
      if (!tree.ok()) return tree.status();
      list.items.push_back(*std::move(tree));
    }
    annotations[kPortsAnnotation] = proto::ToJson(list);
  }
  return annotations;
}

std::string PodLogDirectory(std::string_view root, const v1::Pod& pod) {
  const auto& meta = pod.metadata();
  return base::JoinPath(root, StrCat(meta.namespace_(), "_", meta.name(), "_", meta.uid()));
}

std::string ContainerLogPath(std::string_view container, uint32_t restart_count) {
  return StrCat(container, "/", restart_count, ".log");
}

std::string ContainerLogLink(std::string_view pod, std::string_view ns, std::string_view container,
                             std::string_view id) {
  constexpr std::string_view kSuffix = ".log";
  constexpr size_t kMaxName = 255;
  std::string name = StrCat(pod, "_", ns, "_", container, "-", id);
  name.resize(std::min(name.size(), kMaxName - kSuffix.size()));
  return name.append(kSuffix);
}

v1::Container AsContainer(const v1::EphemeralContainerCommon& common) {
  v1::Container container;
  container.ParsePartialFromString(common.SerializePartialAsString());
  return container;
}

}  // namespace keelson::cri
