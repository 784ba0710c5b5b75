// SPDX-License-Identifier: Apache-2.0
#include "kubelet/sources/static_pod.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "base/hash.h"
#include "base/strings.h"
#include "kubelet/sources/names.h"

namespace keelson::kubelet::sources {
namespace {

// One encoding per object: fields in order, maps sorted.
std::string Canonical(const v1::Pod& pod) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    pod.SerializePartialToCodedStream(&coded);
  }
  return bytes;
}

void TolerateEviction(v1::PodSpec* spec) {
  for (const auto& have : spec->tolerations()) {
    if (have.key().empty() && have.operator_() == "Exists" && have.effect() == "NoExecute" &&
        have.value().empty() && !have.has_tolerationseconds()) {
      return;
    }
  }
  auto* toleration = spec->add_tolerations();
  toleration->set_operator_("Exists");
  toleration->set_effect("NoExecute");
}

}  // namespace

void MakeStatic(v1::Pod* pod, PodSource source, std::string_view origin,
                std::string_view node_name) {
  auto* meta = pod->mutable_metadata();
  if (meta->uid().empty()) {
    const std::string place = source == PodSource::kFile
                                  ? base::StrCat("host:", node_name, "file:", origin)
                                  : base::StrCat("host:", node_name, "url:", origin);
    meta->set_uid(base::Fnv1a128Hex(Canonical(*pod) + place));
  }
  meta->set_name(base::StrCat(meta->name(), "-", Lower(node_name)));
  if (meta->namespace_().empty()) meta->set_namespace_("default");
  pod->mutable_spec()->set_nodename(std::string(node_name));
  auto& annotations = *meta->mutable_annotations();
  annotations[std::string(kConfigHash)] = meta->uid();
  annotations[std::string(kConfigSource)] = std::string(PodSourceName(source));
  if (source == PodSource::kFile) TolerateEviction(pod->mutable_spec());
  pod->mutable_status()->set_phase("Pending");
}

void SetFirstSeen(v1::Pod* pod, base::WallTime when) {
  (*pod->mutable_metadata()->mutable_annotations())[std::string(kConfigSeen)] =
      base::FormatRfc3339Nano(when);
}

void KeepFirstSeen(v1::Pod* pod, const v1::Pod& before) {
  const auto seen = Annotation(before, kConfigSeen);
  if (seen) (*pod->mutable_metadata()->mutable_annotations())[std::string(kConfigSeen)] = *seen;
}

std::string Fingerprint(const v1::Pod& pod) {
  v1::Pod copy = pod;
  copy.mutable_metadata()->mutable_annotations()->erase(std::string(kConfigSeen));
  return base::Fnv1a128Hex(Canonical(copy));
}

}  // namespace keelson::kubelet::sources
