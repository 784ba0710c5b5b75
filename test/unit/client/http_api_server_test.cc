// SPDX-License-Identifier: Apache-2.0
// The client against the stub, over real sockets with TLS.
#include "kubelet/client/http_api_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <optional>

#include "base/files.h"
#include "kubelet/client/reflector.h"
#include "proto/k8s/authentication.pb.h"
#include "proto/k8s/objects.pb.h"
#include "proto/k8s/pod.pb.h"
#include "test/apiserver/stub_server.h"
#include "test/unit/base/fixture.h"

namespace keelson::kubelet::client {
namespace {

using apiserver::Fault;
using base::StrCat;
using k8s::v1::ConfigMap;
using k8s::v1::ConfigMapList;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

class HttpApiServerTest : public ::testing::Test {
 protected:
  HttpApiServerTest() {
    ::signal(SIGPIPE, SIG_IGN);  // as the agent does
    stub_options_.serving = authority_.Issue({"server", "", {"api.cluster"}, {"127.0.0.1"}});
    stub_options_.client_ca = authority_.ca_pem();
    stub_options_.tokens["good"] = "somebody";
  }
  ~HttpApiServerTest() override {
    api_.reset();
    if (stub_ != nullptr) Await(Finish());
  }

  base::Task<bool> Finish() {
    co_await group_.CancelAndJoin();
    co_await stub_->Stop();
    co_return true;
  }
  template <typename T>
  T Await(base::Task<T> task) {
    return base::RunOnLoop(loop_, std::move(task));
  }
  void StartStub(int port = 0) {
    auto stub = apiserver::StubServer::Start(loop_, fake_, stub_options_, port);
    KEELSON_CHECK(stub.ok());
    stub_ = *std::move(stub);
    config_.cluster.server = stub_->url();
    if (config_.cluster.ca.empty()) config_.cluster.ca.data = authority_.ca_pem();
  }
  // As the holder of a certificate for this name.
  void Identify(const std::string& name) {
    const auto pair = authority_.Issue({name, "system:nodes", {}, {}});
    config_.user.certificate.data = pair.cert_pem;
    config_.user.key.data = pair.key_pem;
  }
  absl::Status Connect(ClientOptions options = {}) {
    transport_options_.user_agent = "kubelet/v1.36.0 (linux/amd64) keelson";
    auto transport = Transport::Create(loop_, config_, transport_options_);
    if (!transport.ok()) return transport.status();
    transport_ = *transport;
    api_ = NewHttpApiServer(loop_, transport_, options);
    return absl::OkStatus();
  }
  void Start() {
    StartStub();
    const absl::Status status = Connect();
    ASSERT_TRUE(status.ok()) << status;
  }
  static ConfigMap Map(const std::string& name, const std::string& value) {
    ConfigMap map;
    map.mutable_metadata()->set_namespace_("default");
    map.mutable_metadata()->set_name(name);
    (*map.mutable_data())["key"] = value;
    return map;
  }
  absl::StatusOr<ConfigMap> Get(const std::string& name) {
    return Await(api_->Get<ConfigMap>("default", name));
  }
  // Waits for `done`, which a callback of the loop makes true before it sets `wake_`.
  base::Task<bool> Until(std::function<bool()> done) {
    const base::MonoTime due = loop_.clock().Monotonic() + seconds(20);
    while (!done()) {
      const bool woken = co_await wake_.WaitUntil(loop_.clock(), due);
      if (!woken) co_return done();
    }
    co_return true;
  }

  base::Loop loop_;
  apiserver::ObjectStore store_{loop_.clock()};
  apiserver::FakeApiServer fake_{loop_, store_};
  apiserver::Authority authority_{"cluster"};
  apiserver::StubOptions stub_options_;
  std::unique_ptr<apiserver::StubServer> stub_;
  KubeConfig config_;
  TransportOptions transport_options_;
  std::shared_ptr<Transport> transport_;
  std::unique_ptr<ApiServer> api_;
  base::TaskGroup group_{loop_};
  base::Wakeup wake_;
};

TEST_F(HttpApiServerTest, EveryVerbOverOneHttp2Connection) {
  Identify("system:node:a");
  Start();
  const auto made = Await(api_->Create(Map("m", "1")));
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_FALSE(made->metadata().uid().empty());
  EXPECT_EQ(stub_->last_headers().at("content-type"), "application/vnd.kubernetes.protobuf");
  EXPECT_EQ(stub_->last_headers().at("user-agent"), "kubelet/v1.36.0 (linux/amd64) keelson");
  EXPECT_TRUE(stub_->last_headers().contains(":path")) << "HTTP/2";

  ConfigMap changed = *made;
  (*changed.mutable_data())["key"] = "2";
  const auto updated = Await(api_->Update(changed));
  ASSERT_TRUE(updated.ok()) << updated.status();
  EXPECT_TRUE(IsConflict(Await(api_->Update(changed)).status())) << "an old resourceVersion";
  EXPECT_TRUE(IsAlreadyExists(Await(api_->Create(Map("m", "1"))).status()));

  proto::Value data = proto::Value::Map(), patch = proto::Value::Map();
  data.members.push_back({"more", 0, proto::Value::String("3")});
  patch.members.push_back({"data", 0, data});
  const auto patched =
      Await(api_->Patch<ConfigMap>("default", "m", PatchType::kStrategicMerge, patch));
  ASSERT_TRUE(patched.ok()) << patched.status();
  EXPECT_EQ(patched->data().at("key"), "2");
  EXPECT_EQ(patched->data().at("more"), "3");

  ListOptions options;
  options.field_selector = "metadata.name=m";
  const auto list = Await(api_->List<ConfigMapList>("", options));
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_EQ(list->items_size(), 1);

  DeleteOptions wrong;
  wrong.uid = "another";
  EXPECT_TRUE(IsConflict(Await(api_->Delete<ConfigMap>("default", "m", wrong))));
  EXPECT_TRUE(Await(api_->Delete<ConfigMap>("default", "m")).ok());
  const auto gone = Get("m").status();
  EXPECT_TRUE(IsNotFound(gone)) << gone;
  EXPECT_THAT(std::string(base::Message(gone)),
              HasSubstr("GET /api/v1/namespaces/default/configmaps/m: 404 NotFound"));
  EXPECT_EQ(stub_->accepted(), 1);
  for (const auto& user : stub_->users()) EXPECT_EQ(user, "system:node:a");
}

TEST_F(HttpApiServerTest, TokensAreRequestedBelowServiceAccounts) {
  Start();
  k8s::v1::ServiceAccount account;
  account.mutable_metadata()->set_namespace_("default");
  account.mutable_metadata()->set_name("robot");
  store_.Put(account);
  k8s::authentication::v1::TokenRequest request;
  request.mutable_spec()->set_expirationseconds(600);
  const auto token =
      Await(api_->CreateSubresource<k8s::v1::ServiceAccount>("default", "robot", "token", request));
  ASSERT_TRUE(token.ok()) << token.status();
  EXPECT_EQ(token->status().token(), "token-default-robot-1");
}

TEST_F(HttpApiServerTest, AServerWithoutProtobufIsSpokenToInJson) {
  stub_options_.json_only = true;
  Start();
  ASSERT_TRUE(Await(api_->Create(Map("m", "1"))).ok());
  EXPECT_EQ(Get("m")->data().at("key"), "1");
  EXPECT_TRUE(IsNotFound(Get("n").status()));
}

TEST_F(HttpApiServerTest, ReflectsOverHttp1AndOverBrokenConnections) {
  for (const bool http1 : {true, false}) {
    stub_options_.http1 = http1;
    Start();
    store_.Put(Map("m", "1"));
    std::string value;
    Reflector<ConfigMap>::Events events;
    events.changed = [&](const ObjectKey&, const auto&, const auto& after) {
      value = after ? after->data().at("key") : "gone";
      wake_.Set();
    };
    Reflector<ConfigMap> reflector(loop_, *api_, {}, std::move(events));
    group_.Spawn("reflector", reflector.Run());
    EXPECT_TRUE(Await(Until([&] { return value == "1"; }))) << http1;
    store_.Put(Map("m", "2"));
    EXPECT_TRUE(Await(Until([&] { return value == "2"; }))) << http1;
    stub_->DropConnections();
    store_.Put(Map("m", "3"));
    EXPECT_TRUE(Await(Until([&] { return value == "3"; }))) << http1;
    store_.Erase<ConfigMap>("default", "m");
    EXPECT_TRUE(Await(Until([&] { return value == "gone"; }))) << http1;
    EXPECT_EQ(fake_.CountRequests("LIST"), 1);
    fake_.requests.clear();
    Await(Finish());
    api_.reset();
    stub_.reset();
  }
}

TEST_F(HttpApiServerTest, HundredsOfWatchesShareAConnection) {
  StartStub();
  ASSERT_TRUE(Connect({.qps = 0}).ok());
  std::vector<std::unique_ptr<WatchStream>> watches;
  for (int i = 0; i < 200; ++i) {
    WatchOptions options;
    options.field_selector = StrCat("metadata.name=m", i);
    auto watch = Await(api_->Watch(ResourceOf<ConfigMap>(), "default", options));
    ASSERT_TRUE(watch.ok()) << watch.status();
    watches.push_back(*std::move(watch));
  }
  EXPECT_EQ(stub_->accepted(), 1);
  store_.Put(Map("m117", "x"));
  const auto event = Await(watches[117]->Next());
  ASSERT_TRUE(event.ok() && event->has_value()) << event.status();
  EXPECT_EQ(MetaOf(*(*event)->object).name(), "m117");
}

TEST_F(HttpApiServerTest, ABusyServerIsAskedAgainWhenItSays) {
  Start();
  store_.Put(Map("m", "1"));
  fake_.fault = [this](const std::string&) {
    Fault fault;
    if (fake_.requests.size() == 1) fault.error = 429, fault.retry_after = seconds(1);
    return fault;
  };
  const base::MonoTime start = loop_.clock().Monotonic();
  EXPECT_TRUE(Get("m").ok());
  EXPECT_GE(loop_.clock().Monotonic() - start, seconds(1));
  ASSERT_TRUE(Connect({.max_retries = 0}).ok());
  fake_.requests.clear();
  const auto refused = Get("m").status();
  EXPECT_TRUE(IsTooManyRequests(refused)) << refused;
  EXPECT_EQ(RetryAfter(refused), seconds(1));
}

TEST_F(HttpApiServerTest, OnlyWhatIsSafeToRepeatIsRepeatedAfterABreak) {
  Start();
  store_.Put(Map("m", "1"));
  bool break_next = true;
  fake_.fault = [&](const std::string&) {
    Fault fault;
    fault.lose = std::exchange(break_next, false);
    return fault;
  };
  EXPECT_TRUE(Get("m").ok());
  EXPECT_EQ(fake_.CountRequests("GET"), 2);
  break_next = true;
  const auto lost = Await(api_->Create(Map("n", "1"))).status();
  EXPECT_TRUE(IsUnreachable(lost)) << lost;
  EXPECT_EQ(fake_.CountRequests("POST"), 1);
}

TEST_F(HttpApiServerTest, ATokenFileIsReadAgainWhenItsTokenIsRefused) {
  base::TempDir dir;
  stub_options_.anonymous = false;
  stub_options_.tokens["better"] = "somebody else";
  config_.user.token_file = dir / "token";
  ASSERT_TRUE(base::WriteFileAtomic(config_.user.token_file, "good\n", 0600).ok());
  Start();
  store_.Put(Map("m", "1"));
  EXPECT_TRUE(Get("m").ok());
  stub_->options().tokens.erase("good");
  EXPECT_TRUE(IsUnauthorized(Get("m").status()));
  ASSERT_TRUE(base::WriteFileAtomic(config_.user.token_file, "better\n", 0600).ok());
  EXPECT_TRUE(Get("m").ok());
  EXPECT_EQ(stub_->users().back(), "somebody else");
}

TEST_F(HttpApiServerTest, APluginIsAskedOnceAndAgainWhenRefused) {
  base::TempDir dir;
  stub_options_.anonymous = false;
  const std::string program = dir / "plugin";
  const std::string calls = dir / "calls";
  // Says token-1, token-2 ... and leaves what it was told.
  const std::string script =
      StrCat("#!/bin/sh\necho >>", calls, "\nn=$(wc -l <", calls,
             ")\nprintf %s \"$KUBERNETES_EXEC_INFO\" >", dir / "info",
             "\necho '{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":"
             "\"ExecCredential\",\"status\":{\"token\":\"token-'$n'\"}}'\n");
  ASSERT_TRUE(base::WriteFileAtomic(program, script, 0700).ok());
  ExecConfig exec;
  exec.api_version = "client.authentication.k8s.io/v1";
  exec.command = program;
  exec.provide_cluster_info = true;
  config_.user.exec = exec;
  stub_options_.tokens["token-1"] = "first";
  stub_options_.tokens["token-2"] = "second";
  Start();
  store_.Put(Map("m", "1"));
  EXPECT_TRUE(Get("m").ok());
  EXPECT_TRUE(Get("m").ok());
  EXPECT_EQ(base::ReadFile(calls)->size(), 1u) << "kept";
  EXPECT_THAT(*base::ReadFile(dir / "info"), HasSubstr(StrCat("\"server\":\"", stub_->url())));
  stub_->options().tokens.erase("token-1");
  EXPECT_TRUE(Get("m").ok());
  EXPECT_EQ(stub_->users().back(), "second");
  ASSERT_TRUE(base::WriteFileAtomic(program, "#!/bin/sh\necho no luck >&2; exit 3\n", 0700).ok());
  stub_->options().tokens.erase("token-2");
  EXPECT_THAT(std::string(base::Message(Get("m").status())), HasSubstr("exit code 3: no luck"));
}

TEST_F(HttpApiServerTest, ANewCertificateIsTakenUpAndOldConnectionsEnd) {
  base::TempDir dir;
  const std::string pem = dir / "kubelet.pem";
  const auto write = [&](const std::string& name) {
    const auto pair = authority_.Issue({name, "system:nodes", {}, {}});
    return base::WriteFileAtomic(pem, pair.cert_pem + pair.key_pem, 0600);
  };
  ASSERT_TRUE(write("first").ok());
  config_.user.certificate.file = config_.user.key.file = pem;
  Start();
  store_.Put(Map("m", "1"));
  EXPECT_TRUE(Get("m").ok());
  EXPECT_EQ(stub_->users().back(), "first");
  ASSERT_TRUE(base::WriteFileAtomic(pem, "half a certif", 0600).ok());
  EXPECT_TRUE(Get("m").ok()) << "what cannot be used changes nothing";
  ASSERT_TRUE(write("second").ok());
  EXPECT_TRUE(Get("m").ok());
  EXPECT_EQ(stub_->users().back(), "second");
  EXPECT_EQ(stub_->accepted(), 2);
  ASSERT_TRUE(transport_->CertificateExpiry().has_value());
}

TEST_F(HttpApiServerTest, AServerThatIsNotTheClustersIsNotSpokenTo) {
  config_.cluster.ca.data = apiserver::Authority("another").ca_pem();
  Start();
  const auto status = Get("m").status();
  EXPECT_TRUE(IsUnreachable(status)) << status;
  EXPECT_THAT(std::string(base::Message(status)), HasSubstr("certificate"));
  EXPECT_TRUE(stub_->users().empty());
  config_.cluster.ca.data.clear();
  config_.cluster.insecure_skip_tls_verify = true;
  ASSERT_TRUE(Connect().ok());
  EXPECT_TRUE(IsNotFound(Get("m").status()));
}

TEST_F(HttpApiServerTest, TheCertificateMayHaveAnotherName) {
  stub_options_.serving = authority_.Issue({"server", "", {"api.cluster"}, {}});
  Start();
  EXPECT_TRUE(IsUnreachable(Get("m").status()));
  config_.cluster.tls_server_name = "api.cluster";
  ASSERT_TRUE(Connect().ok());
  const auto status = Get("m").status();
  EXPECT_TRUE(IsNotFound(status)) << status;
}

TEST_F(HttpApiServerTest, ASilentConnectionIsGivenUp) {
  transport_options_.idle_probe = milliseconds(200);
  transport_options_.probe_timeout = milliseconds(200);
  Start();
  auto watch = Await(api_->Watch(ResourceOf<ConfigMap>(), "default", {}));
  ASSERT_TRUE(watch.ok()) << watch.status();
  stub_->Freeze();
  const auto event = Await((*watch)->Next());
  EXPECT_TRUE(IsUnreachable(event.status())) << event.status();
  store_.Put(Map("m", "1"));
  EXPECT_TRUE(Get("m").ok()) << "on a new connection";
}

TEST_F(HttpApiServerTest, ALivingServerKeepsItsQuietWatch) {
  transport_options_.idle_probe = milliseconds(50);
  transport_options_.probe_timeout = seconds(10);
  Start();
  WatchOptions options;
  options.timeout = seconds(1);
  auto watch = Await(api_->Watch(ResourceOf<ConfigMap>(), "default", options));
  ASSERT_TRUE(watch.ok());
  const auto event = Await((*watch)->Next());
  EXPECT_TRUE(event.ok() && !event->has_value()) << event.status();
  EXPECT_GE(fake_.CountRequests("GET /version"), 2);
}

TEST_F(HttpApiServerTest, TimeAndSizeAreBounded) {
  StartStub();
  store_.Put(Map("large", std::string(100'000, 'x')));
  ASSERT_TRUE(Connect({.timeout = milliseconds(300), .max_answer = 10'000}).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(Get("large").status()));
  fake_.fault = [](const std::string&) {
    Fault fault;
    fault.hang = true;
    return fault;
  };
  EXPECT_TRUE(absl::IsDeadlineExceeded(Get("m").status()));
}

TEST_F(HttpApiServerTest, NobodyThereIsUnreachable) {
  Start();
  Await(Finish());
  EXPECT_TRUE(IsUnreachable(Get("m").status()));
}

TEST_F(HttpApiServerTest, FilesThatAreNoCredentialsAreSaidAtOnce) {
  StartStub();
  config_.user.certificate.file = config_.user.key.file = "/nonexistent/kubelet.pem";
  EXPECT_TRUE(absl::IsNotFound(Connect()));
  Identify("a");
  config_.user.key.data = authority_.Issue({"b", "", {}, {}}).key_pem;
  EXPECT_THAT(std::string(base::Message(Connect())), HasSubstr("not the client certificate's"));
}

}  // namespace
}  // namespace keelson::kubelet::client
