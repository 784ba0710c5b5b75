// SPDX-License-Identifier: Apache-2.0
#include "proto/codec/plan.h"

#include <memory>
#include <unordered_map>

namespace keelson::proto {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

std::unique_ptr<MessagePlan> Make(const Descriptor* type) {
  auto plan = std::make_unique<MessagePlan>();
  plan->form = type->options().GetExtension(form);
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    const auto& options = field->options();
    const Descriptor* part = field->message_type();
    plan->fields.push_back({field, options.GetExtension(always), options.GetExtension(pointer),
                            options.GetExtension(inlined),
                            part == nullptr ? OBJECT : part->options().GetExtension(form)});
  }
  return plan;
}

}  // namespace

const MessagePlan& PlanFor(const Descriptor* type) {
  thread_local std::unordered_map<const Descriptor*, std::unique_ptr<MessagePlan>> plans;
  std::unique_ptr<MessagePlan>& plan = plans[type];
  if (plan == nullptr) plan = Make(type);
  return *plan;
}

}  // namespace keelson::proto
