// SPDX-License-Identifier: Apache-2.0
#include "test/apiserver/selector.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <string_view>

#include "absl/strings/str_split.h"
#include "kubelet/client/resource.h"
#include "proto/k8s/meta.pb.h"

namespace keelson::apiserver {

using google::protobuf::FieldDescriptor;
using kubelet::client::MetaOf;

namespace {

// "spec.nodeName" as text; empty when it is not set.
std::string TextAt(const Message& object, std::string_view path) {
  const Message* at = &object;
  for (;;) {
    const size_t dot = std::min(path.find('.'), path.size());
    const std::string_view name = path.substr(0, dot);
    const FieldDescriptor* field = nullptr;
    for (int i = 0; i < at->GetDescriptor()->field_count(); ++i) {
      if (at->GetDescriptor()->field(i)->json_name() == name) field = at->GetDescriptor()->field(i);
    }
    if (field == nullptr || field->is_repeated()) return "";
    if (dot == path.size()) {
      return field->cpp_type() == FieldDescriptor::CPPTYPE_STRING
                 ? at->GetReflection()->GetString(*at, field)
                 : "";
    }
    if (field->message_type() == nullptr) return "";
    at = &at->GetReflection()->GetMessage(*at, field);
    path.remove_prefix(dot + 1);
  }
}

}  // namespace

Selector::Selector(const std::string& fields, const std::string& labels)
    : terms_(Parse(fields, false)) {
  for (auto& term : Parse(labels, true)) terms_.push_back(std::move(term));
}

std::vector<Selector::Term> Selector::Parse(const std::string& text, bool labels) {
  std::vector<Term> terms;
  const std::vector<std::string> parts = absl::StrSplit(text, ',', absl::SkipEmpty());
  for (const std::string& part : parts) {
    const size_t equals = part.find('=');
    if (equals == std::string::npos) {
      const bool absent = part.starts_with('!');
      terms.push_back(
          {absent ? part.substr(1) : part, "", absent ? Term::kAbsent : Term::kExists, labels});
      continue;
    }
    const bool differs = equals > 0 && part[equals - 1] == '!';
    size_t value = equals + 1;
    if (value < part.size() && part[value] == '=') ++value;
    terms.push_back({part.substr(0, equals - (differs ? 1 : 0)), part.substr(value),
                     differs ? Term::kDiffers : Term::kEquals, labels});
  }
  return terms;
}

bool Selector::Matches(const Message& object) const {
  for (const Term& term : terms_) {
    const auto& labels = MetaOf(object).labels();
    const auto label = labels.find(term.key);
    const bool has = label != labels.end();
    const std::string value = !term.is_label ? TextAt(object, term.key)
                              : has          ? label->second
                                             : std::string();
    switch (term.op) {
      case Term::kEquals:
        if (value != term.value || (term.is_label && !has)) return false;
        break;
      case Term::kDiffers:
        if (value == term.value && (!term.is_label || has)) return false;
        break;
      case Term::kExists:
        if (!has) return false;
        break;
      case Term::kAbsent:
        if (has) return false;
        break;
    }
  }
  return true;
}

}  // namespace keelson::apiserver
