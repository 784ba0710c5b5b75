// SPDX-License-Identifier: Apache-2.0
// Every message of every schema, filled at random, survives JSON, YAML and Kubernetes protobuf.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <random>

#include "base/strings.h"
#include "proto/codec/codec.h"
#include "proto/codec/quantity.h"
#include "proto/cri/api.pb.h"
#include "proto/k8s/authentication.pb.h"
#include "proto/k8s/authorization.pb.h"
#include "proto/k8s/certificates.pb.h"
#include "proto/k8s/coordination.pb.h"
#include "proto/k8s/credential_provider.pb.h"
#include "proto/k8s/events.pb.h"
#include "proto/k8s/intstr.pb.h"
#include "proto/k8s/kubelet_config.pb.h"
#include "proto/k8s/meta.pb.h"
#include "proto/k8s/node.pb.h"
#include "proto/k8s/node_class.pb.h"
#include "proto/k8s/objects.pb.h"
#include "proto/k8s/pod.pb.h"
#include "proto/k8s/quantity.pb.h"
#include "proto/k8s/runtime.pb.h"
#include "proto/k8s/storage.pb.h"
#include "proto/k8s/types.pb.h"
#include "proto/k8s/volume.pb.h"
#include "proto/options.pb.h"

namespace keelson::proto {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::util::MessageDifferencer;

// Fills messages with values that are not zero, so that what comes back can be compared.
class Filler {
 public:
  explicit Filler(uint32_t seed) : random_(seed) {}

  void Fill(Message* message, int depth = 0) {
    const Descriptor* type = message->GetDescriptor();
    const Form shape = type->options().GetExtension(form);
    if (shape != OBJECT && shape != LIST) return FillForm(shape, message);
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor* field = type->field(i);
      if (field->real_containing_oneof() != nullptr && i % 2 == 1) continue;
      // An unset quantity in a part that is always written comes back as "0", which is another
      // text.
      const bool part = field->message_type() != nullptr && !field->is_repeated();
      const bool quantity = field->message_type() == k8s::resource::Quantity::descriptor();
      if (part && (quantity || field->options().GetExtension(always))) {
        FillField(message, field, depth);
        continue;
      }
      if (Below(4) == 0 || (depth > 12 && part)) continue;
      const int count = field->is_repeated() ? 1 + Below(2) : 1;
      for (int j = 0; j < count; ++j) FillField(message, field, depth);
    }
  }

 private:
  int Below(int limit) { return static_cast<int>(random_() % static_cast<uint32_t>(limit)); }

  std::string Text() {
    static constexpr std::string_view kTricky[] = {"yes",
                                                   "null",
                                                   "0644",
                                                   "1e3",
                                                   "~",
                                                   "a: b",
                                                   "# c",
                                                   "- d",
                                                   "multi\nline\n",
                                                   " padded ",
                                                   "2026-01-02",
                                                   "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80",
                                                   "\"quoted\"",
                                                   "tab\there",
                                                   "<<",
                                                   "*x",
                                                   "{",
                                                   "a\nb",
                                                   "100m",
                                                   "\x01\x7F",
                                                   "\xE2\x80\xA8",
                                                   "true",
                                                   "-",
                                                   "name",
                                                   "registry.example/image:v1@sha256:0",
                                                   "/a/b"};
    std::string text(kTricky[static_cast<size_t>(Below(std::size(kTricky)))]);
    if (Below(3) == 0) base::StrAppend(&text, Below(1000));
    return text;
  }

  void FillForm(Form shape, Message* message) {
    const auto* reflection = message->GetReflection();
    const auto* type = message->GetDescriptor();
    const FieldDescriptor* first = type->field(0);
    switch (shape) {
      case TIME:
      case MICRO_TIME:
        reflection->SetInt64(message, type->FindFieldByName("seconds"), Below(2'000'000'000));
        if (shape == MICRO_TIME) {
          reflection->SetInt32(message, type->FindFieldByName("nanos"), Below(1'000'000) * 1000);
        }
        return;
      case DURATION:
      case DURATION_OR_NANOS:
        return reflection->SetInt64(message, first, Below(2'000'000'000) * int64_t{1237} + 1);
      case QUANTITY: {
        const int number = 1 + Below(1 << 30);
        const Quantity quantity = Below(2)
                                      ? Quantity::FromMilli(number)
                                      : Quantity::FromValue(number, Quantity::Format::kBinarySi);
        // Bytes without a suffix read back as a decimal amount: 486602000 becomes 486602k.
        const std::string text = Quantity::Parse(quantity.ToString())->ToString();
        return reflection->SetString(message, first, text);
      }
      case INT_OR_STRING:
        if (Below(2) != 0)
          return reflection->SetInt32(message, type->FindFieldByName("intVal"), 1 + Below(65535));
        reflection->SetInt64(message, type->FindFieldByName("type"), 1);
        return reflection->SetString(message, type->FindFieldByName("strVal"), Text());
      case RAW_JSON:
        return reflection->SetString(message, first,
                                     Below(2) ? R"({"a":[1,true,null,"x"]})" : R"({})");
      case OBJECT:
      case LIST:
        return;
    }
  }

  void FillField(Message* message, const FieldDescriptor* field, int depth) {
    const auto* reflection = message->GetReflection();
    const bool many = field->is_repeated();
#define KEELSON_PUT(Name, value)                       \
  (many ? reflection->Add##Name(message, field, value) \
        : reflection->Set##Name(message, field, value))
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        KEELSON_PUT(Int32, 1 + Below(1 << 30));
        break;
      case FieldDescriptor::CPPTYPE_INT64:
        KEELSON_PUT(Int64, (int64_t{1} << 40) - Below(1 << 30));
        break;
      case FieldDescriptor::CPPTYPE_UINT32:
        KEELSON_PUT(UInt32, 1u + static_cast<uint32_t>(Below(1 << 30)));
        break;
      case FieldDescriptor::CPPTYPE_UINT64:
        KEELSON_PUT(UInt64, UINT64_MAX - static_cast<uint64_t>(Below(9)));
        break;
      case FieldDescriptor::CPPTYPE_DOUBLE:
        KEELSON_PUT(Double, 0.1 + Below(1000));
        break;
      case FieldDescriptor::CPPTYPE_FLOAT:
        KEELSON_PUT(Float, 0.5f + static_cast<float>(Below(1000)));
        break;
      case FieldDescriptor::CPPTYPE_BOOL:
        KEELSON_PUT(Bool, true);
        break;
      case FieldDescriptor::CPPTYPE_STRING:
        KEELSON_PUT(String, field->type() == FieldDescriptor::TYPE_BYTES
                                ? std::string("\0\xFF x", 4)
                                : Text());
        break;
      case FieldDescriptor::CPPTYPE_ENUM:
        KEELSON_PUT(EnumValue,
                    field->enum_type()->value(field->enum_type()->value_count() - 1)->number());
        break;
      case FieldDescriptor::CPPTYPE_MESSAGE:
        if (field->is_map()) return FillEntry(message, field, depth);
        Fill(many ? reflection->AddMessage(message, field)
                  : reflection->MutableMessage(message, field),
             depth + 1);
        break;
    }
#undef KEELSON_PUT
  }

  void FillEntry(Message* message, const FieldDescriptor* field, int depth) {
    Message* entry = message->GetReflection()->AddMessage(message, field);
    // A key of its own for each entry.
    const std::string key = base::StrCat(Text(), " ", ++keys_);
    entry->GetReflection()->SetString(entry, field->message_type()->map_key(), key);
    FillField(entry, field->message_type()->map_value(), depth);
  }

  std::mt19937 random_;
  int keys_ = 0;
};

std::vector<const Descriptor*> AllTypes() {
  std::vector<const Descriptor*> types;
  for (const Descriptor* one :
       {k8s::authentication::v1::TokenRequest::descriptor(),
        k8s::authorization::v1::SubjectAccessReview::descriptor(),
        k8s::certificates::v1::CertificateSigningRequest::descriptor(),
        k8s::coordination::v1::Lease::descriptor(), k8s::events::v1::Event::descriptor(),
        k8s::intstr::IntOrString::descriptor(),
        k8s::kubelet::v1beta1::KubeletConfiguration::descriptor(),
        k8s::kubelet::v1beta1::CredentialProviderConfig::descriptor(),
        k8s::meta::v1::ObjectMeta::descriptor(), k8s::v1::Node::descriptor(),
        k8s::node::v1::RuntimeClass::descriptor(), k8s::v1::ConfigMap::descriptor(),
        k8s::v1::Pod::descriptor(), k8s::resource::Quantity::descriptor(),
        k8s::runtime::Unknown::descriptor(), k8s::storage::v1::CSIDriver::descriptor(),
        k8s::v1::ObjectReference::descriptor(), k8s::v1::PersistentVolume::descriptor(),
        runtime::v1::PodSandboxConfig::descriptor()}) {
    for (int i = 0; i < one->file()->message_type_count(); ++i) {
      types.push_back(one->file()->message_type(i));
    }
  }
  return types;
}

class RoundTrip : public ::testing::TestWithParam<const Descriptor*> {
 protected:
  static constexpr int kRounds = 3;

  static uint32_t Seed(int round) {
    const char* fixed = std::getenv("KEELSON_SEED");
    return fixed != nullptr ? static_cast<uint32_t>(std::strtoul(fixed, nullptr, 10))
                            : std::random_device()() + static_cast<uint32_t>(round);
  }

  static std::string Differences(const Message& one, const Message& other) {
    std::string text;
    MessageDifferencer differencer;
    differencer.set_message_field_comparison(MessageDifferencer::EQUIVALENT);
    differencer.ReportDifferencesToString(&text);
    differencer.Compare(one, other);
    return text;
  }

  std::unique_ptr<Message> Make() {
    return std::unique_ptr<Message>(
        google::protobuf::MessageFactory::generated_factory()->GetPrototype(GetParam())->New());
  }
};

TEST_P(RoundTrip, EveryEncodingGivesTheMessageBack) {
  for (int round = 0; round < kRounds; ++round) {
    const uint32_t seed = Seed(round);
    SCOPED_TRACE(base::StrCat("KEELSON_SEED=", seed));
    const auto message = Make(), from_json = Make(), from_yaml = Make(), from_bytes = Make();
    Filler(seed).Fill(message.get());

    const auto json = EncodeJson(*message);
    ASSERT_TRUE(json.ok()) << json.status().ToString();
    if (*json != "null") {
      const absl::Status status = DecodeJson(*json, from_json.get(), {.strict = true});
      ASSERT_TRUE(status.ok()) << status.ToString() << "\n" << *json;
    }
    EXPECT_EQ(Differences(*message, *from_json), "") << *json;
    EXPECT_EQ(*EncodeJson(*from_json), *json);

    const auto yaml = EncodeYaml(*message);
    ASSERT_TRUE(yaml.ok());
    if (*json != "null") {
      const absl::Status status = DecodeYaml(*yaml, from_yaml.get(), {.strict = true});
      ASSERT_TRUE(status.ok()) << status.ToString() << "\n" << *yaml;
    }
    EXPECT_EQ(*EncodeJson(*from_yaml), *json) << *yaml;

    const std::string bytes = EncodeKubeProtobuf(*message, {"group/v1", GetParam()->name()});
    TypeMeta type;
    ASSERT_TRUE(DecodeKubeProtobuf(bytes, &type, from_bytes.get()).ok());
    EXPECT_TRUE(MessageDifferencer::Equals(*message, *from_bytes));
    EXPECT_EQ(type.kind, GetParam()->name());
  }
}

INSTANTIATE_TEST_SUITE_P(Schemas, RoundTrip, ::testing::ValuesIn(AllTypes()),
                         [](const ::testing::TestParamInfo<const Descriptor*>& info) {
                           std::string name = info.param->full_name();
                           for (char& c : name) {
                             if (c == '.') c = '_';
                           }
                           return name;
                         });

}  // namespace
}  // namespace keelson::proto
