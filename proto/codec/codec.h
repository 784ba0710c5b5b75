// SPDX-License-Identifier: Apache-2.0
// One codec for every message under proto/: JSON, YAML and Kubernetes protobuf, driven by
// descriptors and by the field options of proto/options.proto. JSON names, presence and special
// values are those of Kubernetes 1.36 (apimachinery's serializer/json and sigs.k8s.io/yaml).
//
// Every function may be called on any thread. apiVersion and kind are not part of a message:
// decoding accepts and skips them at the top and in the items of a list; encoding writes them when
// asked to.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/codec/value.h"

namespace google::protobuf {
class Message;
}

namespace keelson::proto {

// Decoding replaces the content of `message`; after an error its content is unspecified.
// InvalidArgument has one line per problem (at most 20), shaped
//   pod.yaml:12: spec.containers[0].ports[0].containerPort: expected integer, got string "abc"
// Unknown and duplicate members are such problems in strict mode, else they are added to
// `warnings`. Member names are case-sensitive; null means not there.
absl::Status DecodeJson(std::string_view json, google::protobuf::Message* message,
                        const DecodeOptions& options,
                        std::vector<DecodeWarning>* warnings = nullptr);
// JSON is YAML too: recognised by its first character.
absl::Status DecodeYaml(std::string_view yaml, google::protobuf::Message* message,
                        const DecodeOptions& options,
                        std::vector<DecodeWarning>* warnings = nullptr);
absl::Status DecodeTree(const Value& tree, google::protobuf::Message* message,
                        const DecodeOptions& options,
                        std::vector<DecodeWarning>* warnings = nullptr);

struct EncodeOptions {
  bool pretty = false;  // JSON with two spaces of indent; YAML is always that
  TypeMeta type{};      // written first unless empty
};

// InvalidArgument when the message holds raw JSON (RawExtension, FieldsV1) that is not JSON.
absl::StatusOr<std::string> EncodeJson(const google::protobuf::Message& message,
                                       const EncodeOptions& options = {});
absl::StatusOr<std::string> EncodeYaml(const google::protobuf::Message& message,
                                       const EncodeOptions& options = {});
// The message as a tree, for merging and for printing inside something larger.
absl::StatusOr<Value> EncodeTree(const google::protobuf::Message& message,
                                 const TypeMeta& type = {});

// application/vnd.kubernetes.protobuf: "k8s\0" and a runtime.Unknown around the message.
std::string EncodeKubeProtobuf(const google::protobuf::Message& message, const TypeMeta& type);
// Fields this version does not know are kept and written again. InvalidArgument: no magic, too
// large, compressed, truncated, or not protobuf inside.
absl::Status DecodeKubeProtobuf(std::string_view bytes, TypeMeta* type,
                                google::protobuf::Message* message, size_t max_bytes = 128u << 20);

}  // namespace keelson::proto
