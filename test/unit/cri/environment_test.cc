// SPDX-License-Identifier: Apache-2.0
#include "cri/environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cri/env_file.h"
#include "cri/service_environment.h"
#include "proto/k8s/objects.pb.h"
#include "test/unit/cri/pods.h"

namespace keelson::cri {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class EnvironmentTest : public testing::Test {
 protected:
  EnvironmentTest() {
    context_.pod_ips = {"10.88.0.2", "fd00::2"};
    context_.host_ips = {"192.0.2.1", "2001:db8::1"};
    context_.allocatable = {{"cpu", "1900m"}, {"memory", "3Gi"}, {"ephemeral-storage", "10Gi"}};
    context_.config_map = [](const std::string& name) -> absl::StatusOr<StringMap> {
      if (name == "conf") return StringMap{{"A", "from-conf"}, {"K", "v"}};
      return absl::NotFoundError("configmap \"" + name + "\" not found");
    };
    context_.secret = [](const std::string& name) -> absl::StatusOr<StringMap> {
      if (name == "keys") return StringMap{{"A", "from-secret"}};
      return absl::NotFoundError("secret \"" + name + "\" not found");
    };
  }

  // The environment of a container whose definition has these lines, as NAME=value.
  std::vector<std::string> Env(const std::string& lines) {
    auto env = Try(lines);
    EXPECT_TRUE(env.ok()) << env.status();
    std::vector<std::string> out;
    if (env.ok())
      for (const EnvVar& var : *env) out.push_back(var.name + "=" + var.value);
    return out;
  }
  absl::StatusOr<std::vector<EnvVar>> Try(const std::string& lines) {
    const v1::Pod pod = PodOf(
        "metadata: {name: web, namespace: default, uid: u1, labels: {app: w}, "
        "annotations: {a/b: note}}\n"
        "spec:\n  nodeName: n1\n  serviceAccountName: sa\n  enableServiceLinks: true\n"
        "  containers:\n"
        "  - name: other\n    resources: {limits: {cpu: 250m, memory: 1Gi}}\n"
        "  - name: c\n    resources: {requests: {memory: 64Mi}}\n" +
        lines);
    return MakeEnvironment(pod, pod.spec().containers(1), context_);
  }
  std::string Error(const std::string& lines) {
    return std::string(base::Message(Try(lines).status()));
  }

  EnvironmentContext context_;
};

TEST_F(EnvironmentTest, LaterValuesWinAndReferencesLookBack) {
  EXPECT_THAT(Env(R"yaml(
    envFrom:
    - {configMapRef: {name: conf}}
    - {secretRef: {name: keys}}
    - {prefix: P_, configMapRef: {name: conf}}
    env:
    - {name: B, value: "$(A) $(LATER) $(P_K)"}
    - {name: LATER, value: x}
    - {name: K, value: over}
    - {name: EMPTY}
)yaml"),
              ElementsAre("A=from-secret", "K=over", "P_A=from-conf", "P_K=v",
                          "B=from-secret $(LATER) v", "LATER=x", "EMPTY="));
}

TEST_F(EnvironmentTest, ServicesFillWhatIsNotNamed) {
  context_.service_env = {{"S_HOST", "10.96.0.1"}, {"S_PORT", "443"}};
  EXPECT_THAT(Env("    env: [{name: URL, value: \"$(S_HOST):$(S_PORT)\"}, {name: S_PORT, value: "
                  "mine}]\n"),
              ElementsAre("URL=10.96.0.1:443", "S_PORT=mine", "S_HOST=10.96.0.1"));
}

TEST_F(EnvironmentTest, DownwardApiTellsAboutThePod) {
  const struct {
    const char* path;
    const char* want;
  } cases[] = {{"metadata.name", "web"},        {"metadata.namespace", "default"},
               {"metadata.uid", "u1"},          {"metadata.labels['app']", "w"},
               {"metadata.labels['none']", ""}, {"metadata.annotations['a/b']", "note"},
               {"spec.nodeName", "n1"},         {"spec.serviceAccountName", "sa"},
               {"status.hostIP", "192.0.2.1"},  {"status.hostIPs", "192.0.2.1,2001:db8::1"},
               {"status.podIP", "10.88.0.2"},   {"status.podIPs", "10.88.0.2,fd00::2"}};
  for (const auto& c : cases)
    EXPECT_THAT(Env(base::StrCat("    env: [{name: V, valueFrom: {fieldRef: {fieldPath: \"", c.path,
                                 "\"}}}]\n")),
                ElementsAre(base::StrCat("V=", c.want)));
  EXPECT_THAT(Error("    env: [{name: V, valueFrom: {fieldRef: {fieldPath: spec.nope}}}]\n"),
              HasSubstr("unsupported fieldPath: spec.nope"));
  EXPECT_THAT(Error("    env: [{name: V, valueFrom: {fieldRef: {fieldPath: metadata.labels}}}]\n"),
              HasSubstr("unsupported fieldPath: metadata.labels"));
}

TEST_F(EnvironmentTest, ResourcesAreDividedAndRoundedUp) {
  const struct {
    const char* selector;
    const char* want;
  } cases[] = {{"containerName: other, resource: limits.cpu", "1"},
               {"containerName: other, resource: limits.cpu, divisor: 1m", "250"},
               {"containerName: other, resource: limits.memory, divisor: 1Mi", "1024"},
               {"resource: limits.cpu", "2"},  // of the node
               {"resource: limits.memory, divisor: 1Gi", "3"},
               {"resource: limits.ephemeral-storage, divisor: 1Gi", "10"},
               {"resource: requests.memory", "67108864"},
               {"resource: requests.cpu", "0"},
               {"resource: limits.hugepages-2Mi", "0"}};
  for (const auto& c : cases)
    EXPECT_THAT(Env(base::StrCat("    env: [{name: V, valueFrom: {resourceFieldRef: {", c.selector,
                                 "}}}]\n")),
                ElementsAre(base::StrCat("V=", c.want)))
        << c.selector;
  EXPECT_EQ(Error("    env: [{name: V, valueFrom: {resourceFieldRef: {resource: limits.gpu}}}]\n"),
            "unsupported container resource : limits.gpu");
  EXPECT_EQ(Error("    env: [{name: V, valueFrom: {resourceFieldRef: {containerName: x, resource: "
                  "limits.cpu}}}]\n"),
            "container x not found");
}

TEST_F(EnvironmentTest, MissingObjectsFailUnlessOptional) {
  EXPECT_THAT(Env(R"(
    envFrom:
    - {configMapRef: {name: nope, optional: true}}
    - {secretRef: {name: nope, optional: true}}
    env:
    - {name: A, valueFrom: {configMapKeyRef: {name: conf, key: A}}}
    - {name: B, valueFrom: {secretKeyRef: {name: keys, key: A}}}
    - {name: C, valueFrom: {configMapKeyRef: {name: conf, key: none, optional: true}}}
    - {name: D, valueFrom: {secretKeyRef: {name: nope, key: A, optional: true}}}
)"),
              ElementsAre("A=from-conf", "B=from-secret"));
  EXPECT_EQ(Error("    envFrom: [{configMapRef: {name: nope}}]\n"), "configmap \"nope\" not found");
  EXPECT_EQ(Error("    env: [{name: C, valueFrom: {configMapKeyRef: {name: conf, key: none}}}]\n"),
            "couldn't find key none in ConfigMap default/conf");
  EXPECT_EQ(Error("    env: [{name: C, valueFrom: {secretKeyRef: {name: keys, key: none}}}]\n"),
            "couldn't find key none in Secret default/keys");
  context_.config_map = nullptr;
  EXPECT_EQ(Error("    envFrom: [{configMapRef: {name: conf}}]\n"),
            "couldn't get configMap default/conf, no kubeClient defined");
}

TEST_F(EnvironmentTest, FileKeysComeFromTheirReader) {
  context_.file_key = [](const v1::FileKeySelector& file) -> absl::StatusOr<std::string> {
    if (file.key() == "K") return file.volumename() + ":" + file.path();
    return absl::NotFoundError("no key");
  };
  EXPECT_THAT(Env("    env: [{name: A, valueFrom: {fileKeyRef: {volumeName: v, path: f, key: K}}}, "
                  "{name: B, valueFrom: {fileKeyRef: {volumeName: v, path: f, key: X, optional: "
                  "true}}}]\n"),
              ElementsAre("A=v:f"));
}

TEST_F(EnvironmentTest, ServiceLinksMustHaveBeenDefaulted) {
  const v1::Pod pod = PodWithSpec("  containers: [{name: c}]\n");
  EXPECT_THAT(
      std::string(base::Message(MakeEnvironment(pod, pod.spec().containers(0), context_).status())),
      HasSubstr("nil pod.spec.enableServiceLinks"));
}

TEST(EnvFile, ValuesAreQuotedAndMaySpanLines) {
  const std::string text =
      "# a comment\n\n  A='one'\nB='two\nlines' # and a comment\r\nC= 'left'\nD=''\nA='again'\n";
  const std::pair<const char*, const char*> rows[] = {
      {"A", "one"}, {"B", "two\nlines"}, {"C", ""}, {"D", ""}, {"E", ""}};
  for (const auto& [key, value] : rows) EXPECT_EQ(*EnvFileValue(text, key), value) << key;
}

TEST(EnvFile, WhatNoReaderCouldTakeIsRefused) {
  const std::string_view format = "invalid environment variable format at line ";
  const std::pair<const char*, const char*> rows[] = {
      {"A='1'\nB\n", "2: missing '='"},
      {"='1'\n", "1: empty variable name"},
      {"A ='1'\n", "1: whitespace before '=' is not allowed"},
      {"A=1\n", "1: value must be enclosed in single quotes"},
      {"A=\n", "1: value must be enclosed in single quotes"},
      {"A='1' x\n", "1: unexpected content after closing quote"},
      {"A='1\n2\n", "2: unclosed single quote"},
  };
  for (const auto& [text, words] : rows) {
    const auto value = EnvFileValue(text, "K");
    EXPECT_EQ(base::Message(value.status()), base::StrCat(format, words)) << text;
  }
  EXPECT_EQ(*EnvFileValue("K='1'\nbroken", "K"), "1") << "what comes after it is not read";
}

class Services : public testing::Test {
 protected:
  void Add(const std::string& ns, const std::string& name, const std::string& ip,
           std::vector<v1::ServicePort> ports = {}) {
    if (ports.empty()) ports.push_back(PortOf(80));
    auto service = std::make_shared<v1::Service>();
    service->mutable_metadata()->set_namespace_(ns);
    service->mutable_metadata()->set_name(name);
    service->mutable_spec()->set_clusterip(ip);
    for (const auto& port : ports) *service->mutable_spec()->add_ports() = port;
    services_.push_back(std::move(service));
  }
  static v1::ServicePort PortOf(int number, const char* name = "", const char* protocol = "TCP") {
    v1::ServicePort port;
    port.set_port(number);
    port.set_name(name);
    port.set_protocol(protocol);
    return port;
  }
  // Names and values of what a pod of `shop` gets to see.
  std::vector<std::string> Env(bool links = true, const std::string& ns = "shop") {
    std::vector<std::string> out;
    for (const auto& [name, value] : ServiceEnvironment(services_, ns, links))
      out.push_back(name + "=" + value);
    return out;
  }
  std::vector<std::shared_ptr<const v1::Service>> services_;
};

TEST_F(Services, TellWhereAndOnWhichPorts) {
  Add("shop", "my-db", "10.0.0.1", {PortOf(80, "web-ui"), PortOf(53, "dns", "UDP")});
  EXPECT_THAT(
      Env(), ElementsAre("MY_DB_PORT=tcp://10.0.0.1:80", "MY_DB_PORT_53_UDP=udp://10.0.0.1:53",
                         "MY_DB_PORT_53_UDP_ADDR=10.0.0.1", "MY_DB_PORT_53_UDP_PORT=53",
                         "MY_DB_PORT_53_UDP_PROTO=udp", "MY_DB_PORT_80_TCP=tcp://10.0.0.1:80",
                         "MY_DB_PORT_80_TCP_ADDR=10.0.0.1", "MY_DB_PORT_80_TCP_PORT=80",
                         "MY_DB_PORT_80_TCP_PROTO=tcp", "MY_DB_SERVICE_HOST=10.0.0.1",
                         "MY_DB_SERVICE_PORT=80", "MY_DB_SERVICE_PORT_DNS=53",
                         "MY_DB_SERVICE_PORT_WEB_UI=80"));
}

TEST_F(Services, BracketsAreForAddressesOfSix) {
  Add("shop", "a", "fd00::1");
  EXPECT_THAT(Env(), testing::Contains("A_PORT=tcp://[fd00::1]:80"));
}

TEST_F(Services, OnlyThoseWithAnAddressOfTheNamespaceAndTheApiServerAlways) {
  Add("default", "kubernetes", "10.0.0.1");
  Add("default", "other", "10.0.0.2");
  Add("shop", "headless", "None");
  Add("shop", "external", "");
  Add("shop", "db", "10.0.0.3");
  auto hosts = [&](bool links, const std::string& ns) {
    std::string out;
    for (const auto& var : Env(links, ns))
      if (var.find("_SERVICE_HOST=") != var.npos) out += var.substr(0, var.find("_SERVICE")) + " ";
    return out;
  };
  EXPECT_EQ(hosts(true, "shop"), "DB KUBERNETES ");
  EXPECT_EQ(hosts(false, "shop"), "KUBERNETES ");
  EXPECT_EQ(hosts(true, "default"), "KUBERNETES OTHER ");
  EXPECT_EQ(hosts(false, "default"), "KUBERNETES ");
  Add("shop", "kubernetes", "10.0.0.9");
  EXPECT_THAT(Env(), testing::Contains("KUBERNETES_SERVICE_HOST=10.0.0.9"));
}

TEST(FormatMap, EscapesAsGoQuotes) {
  EXPECT_EQ(FormatMap({{"b", "x"}, {"a", "q\"\\\n\t\x01\x07"}}),
            "a=\"q\\\"\\\\\\n\\t\\x01\\a\"\nb=\"x\"");
  EXPECT_EQ(FormatMap({}), "");
}

}  // namespace
}  // namespace keelson::cri
