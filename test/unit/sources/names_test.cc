// SPDX-License-Identifier: Apache-2.0
#include "kubelet/sources/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kubelet/sources/field_errors.h"

namespace keelson::kubelet::sources {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(Names, Labels) {
  for (const char* good : {"a", "a-b", "0", "a1-2b"}) EXPECT_THAT(Dns1123Label(good), IsEmpty());
  for (const char* bad : {"", "-a", "a-", "A", "a_b", "a/b", "ä"}) {
    EXPECT_THAT(Dns1123Label(bad), SizeIs(1)) << bad;
  }
  EXPECT_THAT(Dns1123Label("a.b"), ElementsAre("must not contain dots"));
  EXPECT_THAT(Dns1123Label(std::string(63, 'a')), IsEmpty());
  EXPECT_THAT(Dns1123Label(std::string(64, 'a')),
              ElementsAre("must be no more than 63 characters"));
}

TEST(Names, TheWordsAreTheApis) {
  EXPECT_THAT(
      Dns1123Label("A"),
      ElementsAre("a lowercase RFC 1123 label must consist of lower case alphanumeric characters "
                  "or '-', and must start and end with an alphanumeric character (e.g. 'my-name', "
                  " or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"));
  EXPECT_THAT(
      Dns1123Subdomain("a..b"),
      ElementsAre("a lowercase RFC 1123 subdomain must consist of lower case alphanumeric "
                  "characters, '-' or '.', and must start and end with an alphanumeric character "
                  "(e.g. 'example.com', regex used for validation is "
                  "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"));
}

TEST(Names, QualifiedNames) {
  for (const char* good : {"a", "a.b/c", "A_b.c-d", "x.io/Y"}) {
    EXPECT_THAT(QualifiedName(good), IsEmpty()) << good;
  }
  for (const char* bad : {"a/b/c", "/a", "A.b/c", "a b"}) {
    EXPECT_THAT(QualifiedName(bad), SizeIs(1)) << bad;
  }
  EXPECT_THAT(QualifiedName("a/"), SizeIs(2));
  EXPECT_THAT(QualifiedName(std::string(64, 'a')),
              ElementsAre("name part must be no more than 63 characters"));
}

TEST(Names, Ports) {
  EXPECT_THAT(PortName("http"), IsEmpty());
  EXPECT_THAT(PortName("a--b"), ElementsAre("must not contain consecutive hyphens"));
  EXPECT_THAT(PortName("123"), ElementsAre("must contain at least one letter (a-z)"));
  EXPECT_THAT(PortName("-a"), ElementsAre("must not begin or end with a hyphen"));
  EXPECT_THAT(PortNumber(0), ElementsAre("must be between 1 and 65535, inclusive"));
}

TEST(Names, EnvironmentTakesAnyPrintableAscii) {
  EXPECT_THAT(EnvVarName("my.env-NAME 1"), IsEmpty());
  EXPECT_THAT(EnvVarName("1"), IsEmpty());
  EXPECT_THAT(EnvVarName("a=b"), SizeIs(1));
  EXPECT_THAT(EnvVarName("ä"), SizeIs(1));
  EXPECT_THAT(EnvVarName(std::string("a\0", 2)), SizeIs(1));
}

TEST(Names, Addresses) {
  for (const char* good : {"10.0.0.1", "::1", "2001:db8::ffff", "010.000.0.1"}) {
    EXPECT_TRUE(IsIpAddress(good)) << good;
  }
  for (const char* bad : {"", "1.2.3", "1.2.3.4.5", "256.1.1.1", "a.b.c.d", "1..2.3", ":::"}) {
    EXPECT_FALSE(IsIpAddress(bad)) << bad;
  }
}

TEST(Names, Sysctls) {
  EXPECT_TRUE(IsSysctlName("net.ipv4.ip_forward"));
  EXPECT_TRUE(IsSysctlName("net/ipv4/conf/eth0/rp_filter"));
  EXPECT_FALSE(IsSysctlName("net..a"));
  EXPECT_FALSE(IsSysctlName("_a"));
  EXPECT_FALSE(IsSysctlName(std::string(254, 'a')));
}

TEST(Names, AMegabyteIsJudgedQuickly) {
  const std::string huge(1 << 20, 'a');
  EXPECT_THAT(Dns1123Label(huge), SizeIs(1));
  EXPECT_THAT(QualifiedName(std::string(1 << 20, '/')), SizeIs(1));
}

TEST(FieldErrors, PrintAsTheApiDoes) {
  FieldErrors errors;
  const FieldPath path = FieldPath("spec").Child("a").Index(3).Key("x/y");
  errors.Required(path);
  errors.Required(path, "why");
  errors.Invalid(path, "a\"b\n", "bad");
  errors.Invalid(path, 7, "bad");
  errors.Duplicate(path, "d");
  errors.NotFound(path, "n");
  errors.NotSupported(path, "z", {"a", "b"});
  errors.Forbidden(path, "no");
  errors.TooLong(path, 64);
  errors.TooMany(path, 21, 20);
  std::vector<std::string> texts;
  for (const auto& error : errors.all()) texts.push_back(error.Text());
  EXPECT_THAT(texts, ElementsAre("spec.a[3][x/y]: Required value",
                                 "spec.a[3][x/y]: Required value: why",
                                 "spec.a[3][x/y]: Invalid value: \"a\\\"b\\n\": bad",
                                 "spec.a[3][x/y]: Invalid value: 7: bad",
                                 "spec.a[3][x/y]: Duplicate value: \"d\"",
                                 "spec.a[3][x/y]: Not found: \"n\"",
                                 "spec.a[3][x/y]: Unsupported value: \"z\": supported values: "
                                 "\"a\", \"b\"",
                                 "spec.a[3][x/y]: Forbidden: no",
                                 "spec.a[3][x/y]: Too long: may not be more than 64 bytes",
                                 "spec.a[3][x/y]: Too many: 21: must have at most 20 items"));
}

}  // namespace
}  // namespace keelson::kubelet::sources
