// SPDX-License-Identifier: Apache-2.0
// What a node's certificates say, are called, and when the next is due; their files; who the node
// is when it starts.
#include "kubelet/certificates/certificate.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kubelet/certificates/bootstrap.h"
#include "kubelet/certificates/certificate_store.h"
#include "kubelet/certificates/rotation.h"
#include "proto/k8s/certificates.pb.h"
#include "test/apiserver/authority.h"
#include "test/unit/base/fixture.h"

namespace keelson::kubelet {
namespace {

using apiserver::Authority;
using base::StrCat;
using std::chrono::hours;
using std::chrono::seconds;
using Strings = std::vector<std::string>;

// The authority's certificates begin a minute before this.
base::WallTime Now() { return std::chrono::system_clock::now(); }

base::WallTime At(const char* text) { return *base::ParseRfc3339(text); }

Leaf LeafBetween(const char* from, const char* to) { return {{}, At(from), At(to)}; }

TEST(RotationTest, IsDueAfter70To90PercentOfTheLifetime) {
  const Leaf leaf = LeafBetween("2026-01-01T00:00:00Z", "2026-01-11T00:00:00Z");
  const struct {
    double chance;
    const char* due;
  } kCases[] = {{0, "2026-01-08T00:00:00Z"}, {0.5, "2026-01-09T00:00:00Z"}};
  for (const auto& c : kCases)
    EXPECT_EQ(base::FormatRfc3339(RotationTime(leaf, c.chance)), c.due);
  EXPECT_LT(RotationTime(leaf, 0.999), At("2026-01-10T00:00:00Z"));
}

TEST(RotationTest, ACertificateIsGoodToItsLastSecond) {
  const Leaf leaf = LeafBetween("2026-01-01T00:00:00Z", "2026-01-11T00:00:00Z");
  EXPECT_FALSE(Expired(leaf, At("2026-01-11T00:00:00Z")));
  EXPECT_TRUE(Expired(leaf, At("2026-01-11T00:00:01Z")));
  EXPECT_FALSE(Expired(leaf, At("2020-01-01T00:00:00Z"))) << "a clock that is behind";
}

TEST(RotationTest, TriesFollowMoreAndMoreSlowly) {
  const int kSeconds[] = {2, 4, 8, 16, 32, 32};
  for (int i = 0; i < 6; ++i) EXPECT_EQ(RetryDelay(i, 0), seconds(kSeconds[i]));
  EXPECT_LE(RetryDelay(9, 0.99), std::chrono::milliseconds(35'200));
}

TEST(RotationTest, FilesAreCalledByTheTimeTheyCame) {
  EXPECT_EQ(PairFileName("kubelet-client", At("2026-11-03T04:05:06Z")),
            "kubelet-client-2026-11-03-04-05-06.pem");
}

TEST(RotationTest, UsagesAreThoseOfPurposeAndKey) {
  EXPECT_EQ(KeyUsages(CertificatePurpose::kClient, false),
            (Strings{"digital signature", "client auth"}));
  EXPECT_EQ(KeyUsages(CertificatePurpose::kServing, true),
            (Strings{"digital signature", "server auth", "key encipherment"}));
}

TEST(RotationTest, AServingCertificateNeedsAnAddress) {
  EXPECT_FALSE(ServingTemplate("n1", {{"Hostname", "n1"}}));
  const auto wanted = ServingTemplate("n1", {{"InternalIP", "10.0.0.7"},
                                             {"InternalIP", "FD00::7"},
                                             {"ExternalIP", "10.0.0.7"},
                                             {"Hostname", "n1"},
                                             {"ExternalDNS", "n1.example.org"},
                                             {"InternalIP", "nonsense"},
                                             {"InternalDNS", ""}});
  ASSERT_TRUE(wanted);
  EXPECT_EQ(wanted->common_name, "system:node:n1");
  EXPECT_EQ(wanted->organizations, Strings{"system:nodes"});
  EXPECT_EQ(wanted->dns, (Strings{"n1", "n1.example.org"}));
  EXPECT_EQ(wanted->ips, (Strings{"10.0.0.7", "fd00::7"}));
  EXPECT_EQ(ServingTemplate("n1", {{"Hostname", "10.0.0.7"}})->ips, Strings{"10.0.0.7"});
}

// The name upstream's kubelet would give a request of this key for node n1, calculated apart.
TEST(RotationTest, ARequestIsNamedByWhatItAsksFor) {
  const std::string key =
      "-----BEGIN EC PRIVATE KEY-----\n"
      "MHcCAQEEIGId2OSEXYSPu8ug5lidcKxyBS3AOIAUYw5+H1ms9D9UoAoGCCqGSM49\n"
      "AwEHoUQDQgAE07OnR50g9f6quew9IyyQnLD0nz7cDkesmqi/j8Wd66ss0SF48Bzf\n"
      "OKQFWa0OqJ7GZoL3XLHt9jnS7DtKkCMCmg==\n"
      "-----END EC PRIVATE KEY-----\n";
  const Strings usages = KeyUsages(CertificatePurpose::kClient, false);
  EXPECT_EQ(DigestedName(key, ClientTemplate("n1"), usages).value(),
            "node-csr-yJpwmKezBKWrEaKvvb3wgkxo3Jy-R-M7lnDEmgFS3sI");
  EXPECT_NE(DigestedName(key, ClientTemplate("n2"), usages).value(),
            DigestedName(key, ClientTemplate("n1"), usages).value());
}

k8s::certificates::v1::CertificateSigningRequest Request(const Strings& conditions,
                                                         const std::string& certificate = "") {
  k8s::certificates::v1::CertificateSigningRequest request;
  request.mutable_metadata()->set_name("csr-1");
  request.mutable_metadata()->set_uid("u1");
  for (const auto& type : conditions) {
    auto* condition = request.mutable_status()->add_conditions();
    condition->set_type(type);
    condition->set_reason("Because");
    condition->set_message("so there");
  }
  request.mutable_status()->set_certificate(certificate);
  return request;
}

TEST(JudgeTest, OnlyWhatIsApprovedAndIssuedCounts) {
  EXPECT_TRUE(Judge(Request({}), "u1").failure.ok());
  EXPECT_EQ(Judge(Request({}, "pem"), "u1").certificate, "");
  EXPECT_EQ(Judge(Request({"Approved"}), "u1").certificate, "");
  EXPECT_EQ(Judge(Request({"Approved"}, "pem"), "u1").certificate, "pem");
  const auto denied = Judge(Request({"Denied"}, "pem"), "u1");
  EXPECT_EQ(denied.failure,
            absl::PermissionDeniedError("certificate signing request csr-1 is denied, "
                                        "reason: Because, message: so there"));
  EXPECT_EQ(denied.certificate, "");
  EXPECT_TRUE(absl::IsAborted(Judge(Request({"Approved", "Failed"}), "u1").failure));
  EXPECT_TRUE(absl::IsAborted(Judge(Request({"Approved"}, "pem"), "u2").failure)) << "a namesake";
}

TEST(CertificateTest, WhatIsAskedForIsWhatIsSigned) {
  Authority authority("cluster");
  auto wanted = *ServingTemplate("n1", {{"InternalIP", "10.0.0.7"},
                                        {"InternalIP", "fd00::7"},
                                        {"Hostname", "n1,DNS:evil"}});
  const std::string key = MakePrivateKey().value();
  EXPECT_TRUE(key.starts_with("-----BEGIN EC PRIVATE KEY-----"));
  EXPECT_FALSE(IsRsaKey(key));
  const std::string request = MakeCertificateRequest(wanted, key).value();
  EXPECT_TRUE(RequestHasKey(request, key));
  EXPECT_FALSE(RequestHasKey(request, MakePrivateKey().value()));
  const std::string cert = authority.Sign(request, hours(10));
  const auto leaf = ParsePair(cert, key);
  ASSERT_TRUE(leaf.ok()) << leaf.status();
  EXPECT_EQ(leaf->subject, wanted) << "no name was smuggled in";
  EXPECT_LT(leaf->not_before, Now());
  EXPECT_GT(leaf->not_after, Now() + hours(9));
  EXPECT_FALSE(ParsePair(cert, MakePrivateKey().value()).ok());
  EXPECT_FALSE(ParseCertificates("nothing").ok());
  EXPECT_FALSE(ParseCertificates(cert + cert.substr(0, cert.size() / 2) +
                                 "-----END CERTIFICATE-----\n").ok());
}

TEST(CertificateTest, MoreThanIsWantedSatisfiesLessDoesNot) {
  CertificateTemplate has{"system:node:n1", {"system:nodes", "x"}, {"a", "b"}, {"10.0.0.1"}};
  EXPECT_TRUE(Satisfies(has, {"system:node:n1", {"system:nodes"}, {"b"}, {}}));
  EXPECT_FALSE(Satisfies(has, {"system:node:n2", {}, {}, {}}));
  EXPECT_FALSE(Satisfies(has, {"system:node:n1", {}, {"c"}, {}}));
  EXPECT_FALSE(Satisfies(has, {"system:node:n1", {}, {}, {"10.0.0.2"}}));
  EXPECT_FALSE(Satisfies(has, {"system:node:n1", {"y"}, {}, {}}));
}

class StoreTest : public ::testing::Test {
 protected:
  // Puts a new pair for `name` into use.
  void Update(const std::string& name, const char* now) {
    const auto pair = authority_.Issue({name, "system:nodes", {}, {}});
    const auto stored = store_.Update(pair.cert_pem, pair.key_pem, At(now));
    ASSERT_TRUE(stored.ok()) << stored.status();
  }
  std::string InUse() {
    const auto current = store_.Current();
    return current.ok() ? current->subject.common_name : std::string(current.status().message());
  }
  base::TempDir dir_;
  Authority authority_{"cluster"};
  CertificateStore store_{dir_ / "pki", "kubelet-client"};
};

TEST_F(StoreTest, TheLinkLeadsToTheLatestPair) {
  EXPECT_TRUE(absl::IsNotFound(store_.Current().status()));
  Update("a", "2026-01-01T00:00:00Z");
  Update("b", "2026-01-02T00:00:00Z");
  EXPECT_EQ(InUse(), "b");
  EXPECT_EQ(base::ListDir(dir_ / "pki").value(),
            (Strings{"kubelet-client-2026-01-01-00-00-00.pem",
                     "kubelet-client-2026-01-02-00-00-00.pem", "kubelet-client-current.pem"}));
  struct stat file {};
  ASSERT_EQ(::stat(store_.current_path().c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 07777, 0600u);
  char target[256];
  const ssize_t size = ::readlink(store_.current_path().c_str(), target, sizeof(target));
  EXPECT_EQ(std::string(target, static_cast<size_t>(std::max<ssize_t>(size, 0))),
            dir_ / "pki/kubelet-client-2026-01-02-00-00-00.pem");
}

TEST_F(StoreTest, AnInterruptedRotationIsEnded) {
  Update("a", "2026-01-01T00:00:00Z");
  const std::string updated = dir_ / "pki/kubelet-client-updated.pem";
  ASSERT_EQ(::rename(store_.current_path().c_str(), updated.c_str()), 0);
  EXPECT_EQ(InUse(), "a");
  EXPECT_FALSE(base::PathExists(updated));
}

TEST_F(StoreTest, AFileInTheLinksPlaceIsNotLost) {
  ASSERT_TRUE(base::MakeDirs(dir_ / "pki", 0755).ok());
  ASSERT_TRUE(base::WriteFileAtomic(store_.current_path(), "somebody's", 0600).ok());
  const auto pair = authority_.Issue({"a", "", {}, {}});
  EXPECT_TRUE(absl::IsFailedPrecondition(
      store_.Update(pair.cert_pem, pair.key_pem, Now()).status()));
  EXPECT_EQ(base::ReadFile(store_.current_path()).value(), "somebody's");
}

TEST_F(StoreTest, AStrangersKeyIsNotStored) {
  const auto pair = authority_.Issue({"a", "", {}, {}});
  EXPECT_FALSE(store_.Update(pair.cert_pem, MakePrivateKey().value(), Now()).ok());
  EXPECT_TRUE(absl::IsNotFound(store_.Current().status()));
}

TEST_F(StoreTest, ThePendingKeySurvivesARestart) {
  const std::string key = store_.PendingKey().value();
  EXPECT_EQ(CertificateStore(dir_ / "pki", "kubelet-client").PendingKey().value(), key);
  EXPECT_TRUE(base::PathExists(dir_ / "pki/kubelet-client.key.tmp"));
  store_.DropPendingKey();
  EXPECT_NE(store_.PendingKey().value(), key);
  ASSERT_TRUE(base::WriteFileAtomic(dir_ / "pki/kubelet-client.key.tmp", "rubbish", 0600).ok());
  EXPECT_TRUE(CheckPrivateKey(store_.PendingKey().value()).ok());
}

class IdentityTest : public ::testing::Test {
 protected:
  // A kubeconfig of this user; the certificate in files beside it.
  void Write(const std::string& path, const std::string& user) {
    const std::string text = StrCat(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        "clusters: [{name: k, cluster: {server: https://10.0.0.1:6443}}]\n"
        "contexts: [{name: c, context: {cluster: k, user: u}}]\nusers: [{name: u, user: ",
        user, "}]\n");
    ASSERT_TRUE(base::WriteFileAtomic(path, text, 0600).ok());
  }
  void WriteOwn(base::Nanos lifetime = hours(24)) {
    const auto pair = authority_.Issue({"system:node:n1", "system:nodes", {}, {}}, lifetime);
    ASSERT_TRUE(base::WriteFileAtomic(dir_ / "own.pem", pair.cert_pem + pair.key_pem, 0600).ok());
    Write(options_.kubeconfig, "{client-certificate: own.pem, client-key: own.pem}");
  }
  void WriteBootstrap() {
    options_.bootstrap_kubeconfig = dir_ / "bootstrap.conf";
    Write(options_.bootstrap_kubeconfig, "{token: abc.def}");
  }
  absl::StatusOr<NodeIdentity> Find(base::Nanos later = {}) {
    return FindNodeIdentity(options_, Now() + later);
  }
  base::TempDir dir_;
  Authority authority_{"cluster"};
  NodeIdentityOptions options_{dir_ / "kubelet.conf", "", dir_ / "pki", false};
};

TEST_F(IdentityTest, AKubeconfigThatIsValidIsUsedAsItIs) {
  WriteOwn();
  WriteBootstrap();
  const auto found = Find();
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_FALSE(found->needs_certificate);
  EXPECT_FALSE(found->keeper);
  EXPECT_EQ(found->config.user.certificate.file, dir_ / "own.pem");
  EXPECT_FALSE(base::PathExists(dir_ / "pki"));
}

TEST_F(IdentityTest, WithoutAKubeconfigOneIsWrittenForTheCertificateToCome) {
  WriteBootstrap();
  const auto found = Find();
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_TRUE(found->needs_certificate);
  EXPECT_TRUE(found->keeper);
  EXPECT_EQ(found->bootstrap->user.token, "abc.def");
  const auto written = client::LoadKubeConfig(options_.kubeconfig);
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_EQ(written->cluster.server, "https://10.0.0.1:6443");
  EXPECT_EQ(written->user.certificate.file, dir_ / "pki/kubelet-client-current.pem");
  EXPECT_EQ(written->user.key.file, found->config.user.key.file);
  EXPECT_EQ(written->user.token, "");
}

TEST_F(IdentityTest, AnExpiredCertificateIsReplacedByBootstrap) {
  WriteOwn(hours(1));
  WriteBootstrap();
  EXPECT_TRUE(Find(hours(2))->needs_certificate);
}

TEST_F(IdentityTest, BootstrapFileThatKubeadmRemovedIsNotMissed) {
  WriteOwn();
  options_.bootstrap_kubeconfig = dir_ / "gone.conf";
  EXPECT_TRUE(Find().ok());
  EXPECT_FALSE(Find(hours(48)).ok());
  options_.bootstrap_kubeconfig = "";
  EXPECT_TRUE(Find(hours(48)).ok()) << "the server decides, as without bootstrap";
}

TEST_F(IdentityTest, WithRotationTheCertificateMovesAndIsReplacedAtOnce) {
  WriteOwn();
  options_.rotate = true;
  auto found = Find();
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_TRUE(found->keeper);
  EXPECT_TRUE(found->replace_at_once);
  EXPECT_EQ(found->config.user.certificate.file, dir_ / "pki/kubelet-client-current.pem");
  EXPECT_TRUE(HasValidCertificate(found->config, Now()));
  found = Find();
  EXPECT_FALSE(found->replace_at_once) << "the second start uses what the first kept";
  Write(options_.kubeconfig, "{token: abc}");
  EXPECT_FALSE(Find()->keeper) << "nothing to rotate";
}

}  // namespace
}  // namespace keelson::kubelet
