// SPDX-License-Identifier: Apache-2.0
#include "kubelet/auth/client_certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/unit/auth/certificates.h"

namespace keelson::kubelet::auth {
namespace {

using ::testing::ElementsAre;

const base::WallTime kNow = base::FromUnixNanos(1'800'000'000'000'000'000);

class ClientCertificateTest : public ::testing::Test {
 protected:
  absl::StatusOr<User> Verify(const std::vector<std::string>& chain) {
    auto authorities = ClientAuthorities::Parse(authority_.Pem());
    EXPECT_TRUE(authorities.ok()) << authorities.status();
    return (*authorities)->Verify(chain, kNow);
  }
  const Issued authority_ = Issue({.name = "clients", .authority = true});
};

TEST_F(ClientCertificateTest, NameAndOrganizationsAreUserAndGroups) {
  Issued client = Issue({.name = "alice", .organizations = {"dev", "ops"}}, &authority_);
  auto user = Verify({client.Der()});
  ASSERT_TRUE(user.ok()) << user.status();
  EXPECT_EQ(user->name, "alice");
  EXPECT_THAT(user->groups, ElementsAre("dev", "ops"));
}

TEST_F(ClientCertificateTest, IntermediatesOfTheClientAreUsed) {
  Issued middle = Issue({.name = "middle", .authority = true}, &authority_);
  Issued client = Issue({.name = "alice"}, &middle);
  EXPECT_FALSE(Verify({client.Der()}).ok());
  EXPECT_TRUE(Verify({client.Der(), middle.Der()}).ok());
}

TEST_F(ClientCertificateTest, WhatMayNotSpeakForAClient) {
  Issued stranger = Issue({.name = "clients", .authority = true});
  const std::vector<Issued> refused = {
      Issue({.name = "alice"}, &stranger),
      Issue({.name = "alice"}),
      Issue({.name = "alice", .usage = "serverAuth"}, &authority_),
      Issue({.name = "alice", .not_after = 1'750'000'000}, &authority_),
      Issue({.name = "alice", .not_before = 1'900'000'000}, &authority_),
  };
  for (const Issued& client : refused)
    EXPECT_TRUE(absl::IsUnauthenticated(Verify({client.Der()}).status()));
  EXPECT_TRUE(absl::IsUnauthenticated(Verify({"not DER"}).status()));
  EXPECT_TRUE(absl::IsUnauthenticated(Verify({}).status()));
}

TEST_F(ClientCertificateTest, SeveralAuthoritiesInOneFile) {
  Issued other = Issue({.name = "other", .authority = true});
  auto authorities = ClientAuthorities::Parse(authority_.Pem() + other.Pem());
  ASSERT_TRUE(authorities.ok());
  for (const Issued* issuer : {&authority_, static_cast<const Issued*>(&other)})
    EXPECT_TRUE((*authorities)->Verify({Issue({.name = "a"}, issuer).Der()}, kNow).ok());
}

TEST_F(ClientCertificateTest, AFileWithoutAuthoritiesIsRefused) {
  EXPECT_TRUE(absl::IsInvalidArgument(ClientAuthorities::Parse("nothing").status()));
}

}  // namespace
}  // namespace keelson::kubelet::auth
