// SPDX-License-Identifier: Apache-2.0
// A cluster for one agent to be a node of: the stub API server on a loopback port, with
// certificates and a kubeconfig. It answers in a thread of its own; the verbs below wait for it.
// The scheduler and the controllers are the test itself.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proto/k8s/authorization.pb.h"
#include "proto/k8s/pod.pb.h"
#include "test/apiserver/stub_server.h"
#include "test/lib/loop_thread.h"

namespace keelson::integration {

class Cluster {
 public:
  Cluster();
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;
  ~Cluster();

  // Of the node klnode, by certificate.
  std::string kubeconfig() const { return dir_ + "/kubeconfig"; }
  std::string dir() const { return dir_; }

  // YAML of one object of type T.
  template <typename T>
  void Put(std::string_view yaml) {
    Store(Parse<T>(yaml));
  }
  // A pod bound to klnode in namespace default, with these lines below spec and defaults filled in.
  void PutPod(const std::string& name, const std::string& spec, const std::string& meta = "");
  // As `kubectl debug`: one more ephemeral container, the YAML of an object.
  void AddEphemeralContainer(const std::string& pod, const std::string& yaml);
  // As `kubectl label node` and `kubectl taint node`. REQUIRES: klnode is registered.
  void LabelNode(const std::string& key, const std::string& value);
  void TaintNode(const std::string& key, const std::string& effect);
  // Whose `token` is, for TokenReviews.
  void GiveToken(const std::string& token, const std::string& user);
  // Answers SubjectAccessReviews, in the server's thread; before, everything is allowed.
  using Allows = std::function<bool(const k8s::authorization::v1::SubjectAccessReviewSpec& asked)>;
  void AllowOnly(Allows allows);
  // With grace, as `kubectl delete`.
  void DeletePod(const std::string& name);
  // Null when there is none.
  template <typename T>
  std::shared_ptr<const T> Find(const std::string& ns, const std::string& name) {
    std::shared_ptr<const T> found;
    Do([&] { found = store_.Find<T>(ns, name); });
    return found;
  }
  template <typename T>
  std::vector<std::shared_ptr<const T>> All() {
    std::vector<std::shared_ptr<const T>> all;
    Do([&] { all = store_.All<T>(); });
    return all;
  }
  template <typename T>
  void Erase(const std::string& ns, const std::string& name) {
    Do([&] { store_.Erase<T>(ns, name); });
  }
  // False: connections break and new ones are refused.
  void SetReachable(bool reachable);
  // What was asked for since the last call: "GET /api/v1/...".
  std::vector<std::string> TakeRequests();

 private:
  template <typename T>
  static T Parse(std::string_view yaml) {
    T object;
    Decode(yaml, &object);
    return object;
  }
  static void Decode(std::string_view yaml, google::protobuf::Message* object);
  void Store(const google::protobuf::Message& object);
  void Do(const std::function<void()>& fn) { thread_.Do(fn); }

  std::string dir_;
  test::LoopThread thread_;
  apiserver::Authority authority_;
  apiserver::ObjectStore store_;
  apiserver::FakeApiServer fake_;
  std::unique_ptr<apiserver::StubServer> stub_;
};

}  // namespace keelson::integration
