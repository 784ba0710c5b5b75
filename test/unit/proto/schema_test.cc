// SPDX-License-Identifier: Apache-2.0
// The schemas are a wire format others speak. Every number, type and JSON name below our roots is
// folded into one value per root; the values were taken when all messages matched Kubernetes 1.36
// byte for byte. A failure means that the wire changed.
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <set>
#include <string>

#include "base/strings.h"
#include "proto/cri/api.pb.h"
#include "proto/k8s/authentication.pb.h"
#include "proto/k8s/authorization.pb.h"
#include "proto/k8s/certificates.pb.h"
#include "proto/k8s/coordination.pb.h"
#include "proto/k8s/events.pb.h"
#include "proto/k8s/node.pb.h"
#include "proto/k8s/node_class.pb.h"
#include "proto/k8s/objects.pb.h"
#include "proto/k8s/pod.pb.h"
#include "proto/k8s/storage.pb.h"
#include "proto/k8s/volume.pb.h"
#include "proto/options.pb.h"

namespace keelson::proto {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;

class WireFacts {
 public:
  void Add(const Descriptor* type) {
    if (!seen_.insert(type->full_name()).second) return;
    Mix(type->full_name());
    for (int i = 0; i < type->field_count(); ++i) Add(type->field(i));
  }
  void Add(const FileDescriptor* file) {
    for (int i = 0; i < file->message_type_count(); ++i) Add(file->message_type(i));
    for (int i = 0; i < file->service_count(); ++i) {
      for (int j = 0; j < file->service(i)->method_count(); ++j) {
        const auto* method = file->service(i)->method(j);
        Mix(base::StrCat(method->full_name(), method->input_type()->full_name(),
                         method->output_type()->full_name(), method->server_streaming()));
      }
    }
  }
  uint64_t value() const { return hash_; }

 private:
  void Add(const FieldDescriptor* field) {
    const auto& options = field->options();
    Mix(base::StrCat(field->number(), field->type_name(), field->is_repeated(), field->json_name(),
                     options.GetExtension(inlined), options.GetExtension(always),
                     options.GetExtension(pointer)));
    if (field->enum_type() != nullptr) {
      const auto* values = field->enum_type();
      for (int i = 0; i < values->value_count(); ++i) {
        Mix(base::StrCat(values->value(i)->name(), values->value(i)->number()));
      }
    }
    if (field->message_type() != nullptr) {
      Mix(field->message_type()->full_name());
      Add(field->message_type());
    }
  }

  // FNV-1a.
  void Mix(const std::string& text) {
    for (const char c : text) hash_ = (hash_ ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
    hash_ = (hash_ ^ 0xFF) * 0x100000001B3u;
  }

  std::set<std::string> seen_;
  uint64_t hash_ = 0xCBF29CE484222325u;
};

template <typename Root>
uint64_t Facts() {
  WireFacts facts;
  facts.Add(Root::descriptor());
  return facts.value();
}

TEST(Schema, WireOfKubernetesObjectsIsThatOf136) {
  EXPECT_EQ(Facts<k8s::v1::PodList>(), 0xE147E5646B1CF2D2u);
  EXPECT_EQ(Facts<k8s::v1::NodeList>(), 0x72ACF7DAFA6A93A5u);
  EXPECT_EQ(Facts<k8s::v1::ConfigMapList>(), 0xEDF9039B242C0192u);
  EXPECT_EQ(Facts<k8s::v1::SecretList>(), 0xD3742E6C39A51619u);
  EXPECT_EQ(Facts<k8s::v1::ServiceList>(), 0x460EE1F9B1E2AA39u);
  EXPECT_EQ(Facts<k8s::v1::EventList>(), 0x82DE4AC7AFF5E0A9u);
  EXPECT_EQ(Facts<k8s::v1::PersistentVolumeList>(), 0xBBEAC7797C2A5F76u);
  EXPECT_EQ(Facts<k8s::v1::PersistentVolumeClaimList>(), 0x930BAA73232C5B1Eu);
  EXPECT_EQ(Facts<k8s::coordination::v1::LeaseList>(), 0x57DC12554C9201CAu);
  EXPECT_EQ(Facts<k8s::events::v1::EventList>(), 0xCB0A63A2813401E2u);
  EXPECT_EQ(Facts<k8s::node::v1::RuntimeClassList>(), 0x94D161DB5025EAE0u);
  EXPECT_EQ(Facts<k8s::storage::v1::CSIDriverList>(), 0xD82DDD49B7321A1Fu);
  EXPECT_EQ(Facts<k8s::storage::v1::CSINodeList>(), 0x4BA2475DE2381DD5u);
  EXPECT_EQ(Facts<k8s::storage::v1::VolumeAttachmentList>(), 0x91221BE61DA05DF8u);
  EXPECT_EQ(Facts<k8s::certificates::v1::CertificateSigningRequestList>(), 0x811DE25E00DA614Au);
  EXPECT_EQ(Facts<k8s::authentication::v1::TokenRequest>(), 0x2D877C0E5459B970u);
  EXPECT_EQ(Facts<k8s::authentication::v1::TokenReview>(), 0x91AF99B517B58CFFu);
  EXPECT_EQ(Facts<k8s::authorization::v1::SubjectAccessReview>(), 0xBF6B9750958434A4u);
}

TEST(Schema, WireOfCriIsThatOf136) {
  WireFacts facts;
  facts.Add(runtime::v1::VersionRequest::descriptor()->file());
  EXPECT_EQ(facts.value(), 0x50E87227C3F2E522u);
}

}  // namespace
}  // namespace keelson::proto
