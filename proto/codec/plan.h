// SPDX-License-Identifier: Apache-2.0
// What the codec needs to know of a message type, read once per thread from its descriptor.
#pragma once

#include <google/protobuf/descriptor.h>

#include <string>
#include <vector>

#include "proto/options.pb.h"

namespace keelson::proto {

struct FieldPlan {
  const google::protobuf::FieldDescriptor* field;
  bool always;  // options of proto/options.proto
  bool pointer;
  bool inlined;
  Form form;  // of the field's own message type; OBJECT for others

  const std::string& name() const { return field->json_name(); }
};

struct MessagePlan {
  Form form;
  std::vector<FieldPlan> fields;  // in order of declaration, which is JSON's order
};

// Valid for the life of the thread.
const MessagePlan& PlanFor(const google::protobuf::Descriptor* type);

}  // namespace keelson::proto
