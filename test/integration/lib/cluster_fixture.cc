// SPDX-License-Identifier: Apache-2.0
#include "test/integration/lib/cluster_fixture.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/check.h"
#include "base/strings.h"
#include "kubelet/client/kubeconfig.h"
#include "kubelet/sources/defaults.h"
#include "proto/codec/codec.h"
#include "proto/k8s/node.pb.h"
#include "proto/k8s/node.pb.h"

namespace keelson::integration {

namespace fs = std::filesystem;
using base::Task;

Cluster::Cluster()
    : authority_("kl-ca"), store_(thread_.loop().clock()), fake_(thread_.loop(), store_) {
  std::string dir = fs::temp_directory_path() / "klcluster.XXXXXX";
  KEELSON_CHECK(::mkdtemp(dir.data()) != nullptr);
  dir_ = dir;
  thread_.Start();
  Do([&] {
    apiserver::StubOptions options;
    options.serving = authority_.Issue({"server", "", {}, {"127.0.0.1"}});
    options.client_ca = authority_.ca_pem();
    options.anonymous = false;
    auto stub = apiserver::StubServer::Start(thread_.loop(), fake_, std::move(options));
    KEELSON_CHECK(stub.ok());
    stub_ = *std::move(stub);
  });
  const auto pair = authority_.Issue({"system:node:klnode", "system:nodes", {}, {}});
  std::ofstream(dir_ + "/node.pem") << pair.cert_pem << pair.key_pem;
  kubelet::client::ClusterConfig cluster;
  cluster.server = stub_->url();
  cluster.ca.data = authority_.ca_pem();
  auto config = kubelet::client::WriteKubeConfig(cluster, dir_ + "/node.pem");
  KEELSON_CHECK(config.ok());
  std::ofstream(kubeconfig()) << *config;
}

Cluster::~Cluster() {
  thread_.Stop([this]() { return stub_->Stop(); });
  std::error_code ec;
  fs::remove_all(dir_, ec);
}

void Cluster::Decode(std::string_view yaml, google::protobuf::Message* object) {
  const absl::Status status = proto::DecodeYaml(yaml, object, {});
  ASSERT_TRUE(status.ok()) << status << "\n" << yaml;
}

void Cluster::Store(const google::protobuf::Message& object) {
  Do([&] { store_.Put(object); });
}

void Cluster::PutPod(const std::string& name, const std::string& spec, const std::string& meta) {
  auto pod = Parse<k8s::v1::Pod>("metadata: {name: " + name + ", namespace: default" + meta +
                                 "}\nspec:\n  nodeName: klnode\n"
                                 "  terminationGracePeriodSeconds: 1\n" +
                                 spec);
  kubelet::sources::ApplyDefaults(&pod);
  pod.mutable_status()->set_phase("Pending");
  Store(pod);
}

void Cluster::AddEphemeralContainer(const std::string& pod, const std::string& yaml) {
  const auto found = Find<k8s::v1::Pod>("default", pod);
  ASSERT_TRUE(found);
  k8s::v1::Pod changed = *found;
  *changed.mutable_spec()->add_ephemeralcontainers() = Parse<k8s::v1::EphemeralContainer>(yaml);
  kubelet::sources::ApplyDefaults(&changed);
  Store(changed);
}

void Cluster::LabelNode(const std::string& key, const std::string& value) {
  k8s::v1::Node changed = *Find<k8s::v1::Node>("", "klnode");
  (*changed.mutable_metadata()->mutable_labels())[key] = value;
  Store(changed);
}

void Cluster::TaintNode(const std::string& key, const std::string& effect) {
  k8s::v1::Node changed = *Find<k8s::v1::Node>("", "klnode");
  k8s::v1::Taint* taint = changed.mutable_spec()->add_taints();
  taint->set_key(key);
  taint->set_effect(effect);
  Store(changed);
}

void Cluster::GiveToken(const std::string& token, const std::string& user) {
  Do([&] { store_.users_by_token[token] = user; });
}

void Cluster::AllowOnly(Allows allows) {
  Do([&] {
    store_.allow = [allows = std::move(allows)](const google::protobuf::Message& review) {
      return allows(static_cast<const k8s::authorization::v1::SubjectAccessReview&>(review).spec());
    };
  });
}

void Cluster::DeletePod(const std::string& name) {
  Do([&] {
    kubelet::client::ApiRequest request;
    request.verb = kubelet::client::Verb::kDelete;
    request.resource = &kubelet::client::ResourceOf<k8s::v1::Pod>();
    request.ns = "default";
    request.name = name;
    const absl::Status status = store_.Do(request, nullptr);
    EXPECT_TRUE(status.ok()) << status;
  });
}

void Cluster::SetReachable(bool reachable) {
  Do([&] {
    fake_.SetReachable(reachable);
    if (!reachable) stub_->DropConnections();
  });
}

std::vector<std::string> Cluster::TakeRequests() {
  std::vector<std::string> requests;
  Do([&] { requests = std::exchange(fake_.requests, {}); });
  return requests;
}

}  // namespace keelson::integration
