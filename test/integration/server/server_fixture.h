// SPDX-License-Identifier: Apache-2.0
// One agent with its HTTPS server on, one pod, and a client certificate for tests of the API; shared by
// the tests of a suite. One thread.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <string>

#include "test/integration/lib/served_agent.h"
#include "test/unit/auth/certificates.h"
#include "test/unit/server/tls_client.h"

namespace keelson::integration {

// sh waits; cat answers lines of its stdin; tty is a shell at a terminal; serve listens on 8080; twice
// has ended once.
constexpr char kServedContainers[] = R"(  - name: sh
    image: docker.io/library/busybox:1.36
    command: [/bin/sh, -c, 'echo one; echo err >&2; echo two; sleep 1; echo three; exec sleep 10000']
    volumeMounts: [{name: v, mountPath: /v}]
  - name: cat
    image: docker.io/library/busybox:1.36
    stdin: true
    command: [/bin/sh, -c, 'while read line; do echo "got $line"; done; sleep 10000']
  - {name: tty, image: 'docker.io/library/busybox:1.36', stdin: true, tty: true, command: [/bin/sh]}
  - {name: serve, image: 'docker.io/keelson/testserver:1'}
  - name: twice
    image: docker.io/library/busybox:1.36
    command: [/bin/sh, -c, 'if [ -e /v/f ]; then echo second; exec sleep 10000; fi; touch /v/f; echo first; exit 3']
    volumeMounts: [{name: v, mountPath: /v}]
)";

// The agent, and what a client of it needs.
struct ServedNode {
  explicit ServedNode(const std::string& config = {})
      : authority(kubelet::auth::Issue({.name = "clients", .authority = true})),
        alice(kubelet::auth::Issue({.name = "alice", .organizations = {"admins"}}, &authority)),
        port(FreePort()) {
    ca_file = TheContainerd().dir() + "/clients.crt";
    std::ofstream(ca_file) << authority.Pem();
    std::ofstream(TheContainerd().dir() + "/alice.crt") << alice.Pem();
    std::ofstream(TheContainerd().dir() + "/alice.key") << alice.KeyPem();
    auto settled = [](const Agent& started) {
      const std::string table = started.TryNodectl({"get", "pods"}).output;
      return table.find("5/5") != table.npos && table.find("Running   1 ") != table.npos;
    };
    agent = StartServing(port, config, {"--client-ca-file=" + ca_file},
                         ShopPod("web", kServedContainers), settled);
  }

  kubelet::TlsClientOptions Alice() const {
    kubelet::TlsClientOptions options;
    options.certificate_pem = alice.Pem();
    options.key_pem = alice.KeyPem();
    return options;
  }
  // curl as alice; its output without the head.
  CommandResult Curl(std::vector<std::string> args, const std::string& path) const {
    const std::string dir = TheContainerd().dir();
    std::vector<std::string> argv = {"curl", "-sSk", "--max-time", "60", "--cert", dir + "/alice.crt",
                                     "--key", dir + "/alice.key"};
    argv.insert(argv.end(), args.begin(), args.end());
    argv.push_back("https://127.0.0.1:" + std::to_string(port) + path);
    return RunCommand(argv);
  }
  std::string Get(const std::string& path) const { return Curl({}, path).output; }
  // "200", "404", ...
  std::string StatusOf(std::vector<std::string> args, const std::string& path) const {
    args.insert(args.end(), {"-o", "/dev/null", "-w", "%{http_code}"});
    return Curl(std::move(args), path).output;
  }

  const kubelet::auth::Issued authority, alice;
  const uint16_t port;
  std::string ca_file;
  std::unique_ptr<Agent> agent;
};

class ServerTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { SetUp({}); }
  static void SetUp(const std::string& config) { node_ = std::make_unique<ServedNode>(config); }
  static void TearDownTestSuite() { node_.reset(); }
  static ServedNode& node() { return *node_; }

 private:
  static inline std::unique_ptr<ServedNode> node_;
};

}  // namespace keelson::integration
