// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/message.h>
#include <google/protobuf/stubs/logging.h>

#include "base/strings.h"
#include "proto/codec/codec.h"
#include "proto/k8s/runtime.pb.h"

namespace keelson::proto {
namespace {

constexpr std::string_view kMagic("k8s\0", 4);
constexpr std::string_view kContentType = "application/vnd.kubernetes.protobuf";

// protobuf's own bound on nesting (100) holds here too. Partial, because the check for required
// fields, of which we have none, stumbles over map entries without a value.
bool Parse(std::string_view bytes, google::protobuf::Message* message) {
  // Text that is not UTF-8 is no error for Kubernetes; protobuf would print a line for each.
  google::protobuf::LogSilencer silent;
  return bytes.size() <= INT32_MAX &&
         message->ParsePartialFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

}  // namespace

std::string EncodeKubeProtobuf(const google::protobuf::Message& message, const TypeMeta& type) {
  k8s::runtime::Unknown envelope;
  envelope.mutable_typemeta()->set_apiversion(type.api_version);
  envelope.mutable_typemeta()->set_kind(type.kind);
  message.SerializePartialToString(envelope.mutable_raw());
  // gogo writes these two also when they are empty.
  envelope.set_contentencoding("");
  envelope.set_contenttype("");
  std::string bytes(kMagic);
  envelope.AppendPartialToString(&bytes);
  return bytes;
}

absl::Status DecodeKubeProtobuf(std::string_view bytes, TypeMeta* type,
                                google::protobuf::Message* message, size_t max_bytes) {
  if (bytes.size() > max_bytes) {
    return absl::InvalidArgumentError(base::StrCat("Kubernetes protobuf: ", bytes.size(),
                                                   " bytes, more than the limit of ", max_bytes));
  }
  if (!bytes.starts_with(kMagic)) {
    return absl::InvalidArgumentError("Kubernetes protobuf: does not start with \"k8s\\0\"");
  }
  k8s::runtime::Unknown envelope;
  if (!Parse(bytes.substr(kMagic.size()), &envelope)) {
    return absl::InvalidArgumentError(
        "Kubernetes protobuf: the envelope is truncated or malformed");
  }
  if (!envelope.contentencoding().empty() ||
      (!envelope.contenttype().empty() && envelope.contenttype() != kContentType)) {
    return absl::InvalidArgumentError(
        base::StrCat("Kubernetes protobuf: content is ", envelope.contenttype(), " ",
                     envelope.contentencoding(), ", expected plain protobuf"));
  }
  if (!Parse(envelope.raw(), message)) {
    return absl::InvalidArgumentError(base::StrCat(
        "Kubernetes protobuf: the ", envelope.typemeta().kind(), " inside is malformed"));
  }
  if (type != nullptr) {
    type->api_version = envelope.typemeta().apiversion();
    type->kind = envelope.typemeta().kind();
  }
  return absl::OkStatus();
}

}  // namespace keelson::proto
