// SPDX-License-Identifier: Apache-2.0
#include "kubelet/sources/manifest.h"

#include "base/errno_status.h"
#include "base/strings.h"
#include "kubelet/sources/decode.h"
#include "kubelet/sources/defaults.h"
#include "kubelet/sources/static_pod.h"
#include "kubelet/sources/validation.h"

namespace keelson::kubelet::sources {
namespace {

using base::StrCat;

// More complaints than this help nobody and would fill the log.
constexpr size_t kMaxComplaints = 20;

// Where pod `index` of the document stands.
const proto::Value* ObjectOf(const DecodedPods& decoded, size_t index) {
  if (!decoded.is_list) return &decoded.tree;
  const proto::Value* items = decoded.tree.Find("items");
  const bool there = items != nullptr && index < items->items.size();
  return there ? &items->items[index] : &decoded.tree;
}

class Complaint {
 public:
  Complaint(const ManifestOrigin& origin, const DecodedPods& decoded, size_t index)
      : origin_(origin),
        object_(*ObjectOf(decoded, index)),
        prefix_(decoded.is_list ? StrCat("items[", index, "].") : "") {}

  std::string Text(std::string_view path, std::string_view body) const {
    const int line = LineOf(object_, path);
    const std::string where = line > 0 ? StrCat(":", line) : "";
    return StrCat(origin_.name, where, ": ", path.empty() ? "" : StrCat(prefix_, path, ": "), body);
  }

 private:
  const ManifestOrigin& origin_;
  const proto::Value& object_;
  const std::string prefix_;
};

absl::Status Check(const v1::Pod& pod, const Complaint& complaint) {
  const FieldErrors errors = ValidatePodCreate(pod);
  if (!errors.empty()) {
    std::string text;
    for (const FieldError& error : errors.all()) {
      if (&error - errors.all().data() >= static_cast<ptrdiff_t>(kMaxComplaints)) {
        base::StrAppend(&text, "\nand ", errors.size() - kMaxComplaints, " more");
        break;
      }
      base::StrAppend(&text, text.empty() ? "" : "\n", complaint.Text(error.path, error.body));
    }
    return absl::InvalidArgumentError(text);
  }
  if (const auto reference = ApiReference(pod)) {
    return absl::InvalidArgumentError(complaint.Text(
        reference->path, StrCat("static pods may not reference ", reference->resource)));
  }
  return absl::OkStatus();
}

}  // namespace

std::string OneLine(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') {
      out += "; ";
    } else {
      out += c;
    }
  }
  return out;
}

absl::StatusOr<Manifest> ReadManifest(std::string_view bytes, const ManifestOrigin& origin) {
  auto decoded = DecodePods(bytes, origin.name, origin.source == PodSource::kUrl);
  if (!decoded.ok()) return decoded.status();
  Manifest out;
  out.warnings = std::move(decoded->warnings);
  for (size_t i = 0; i < decoded->pods.size(); ++i) {
    const Complaint complaint(origin, *decoded, i);
    v1::Pod& pod = decoded->pods[i];
    if (pod.metadata().name().empty()) {
      return absl::InvalidArgumentError(
          complaint.Text("metadata.name", "Required value: a static pod needs a name"));
    }
    ApplyDefaults(&pod);
    MakeStatic(&pod, origin.source, origin.name, origin.node_name);
    RETURN_IF_ERROR(Check(pod, complaint));
    out.pods.push_back(std::make_shared<v1::Pod>(std::move(pod)));
  }
  return out;
}

}  // namespace keelson::kubelet::sources
