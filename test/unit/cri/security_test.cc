// SPDX-License-Identifier: Apache-2.0
#include "cri/security.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/unit/cri/pods.h"

namespace keelson::cri {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

class SecurityTest : public testing::Test {
 protected:
  // A pod with these securityContexts, in flow style, and other lines of the spec.
  v1::Pod Pod(const std::string& pod_context, const std::string& container_context,
              const std::string& more = "") {
    return PodWithSpec(base::StrCat(
        "  securityContext: ", pod_context,
        "\n  containers: [{name: c, securityContext: ", container_context, "}]\n", more));
  }
  rt::LinuxContainerSecurityContext Container(const v1::Pod& pod) {
    auto out = Try(pod);
    EXPECT_TRUE(out.ok()) << out.status();
    return out.value_or(rt::LinuxContainerSecurityContext());
  }
  absl::StatusOr<rt::LinuxContainerSecurityContext> Try(const v1::Pod& pod) {
    return ContainerSecurity(pod, pod.spec().containers(0), image_, target_, context_);
  }
  std::string Error(const v1::Pod& pod) { return std::string(base::Message(Try(pod).status())); }

  SecurityContext context_;
  ImageUser image_{0, ""};
  std::string target_;
};

TEST_F(SecurityTest, IdsComeFromContainerThenPodThenImage) {
  auto out = Container(Pod("{runAsUser: 1, runAsGroup: 2}", "{runAsUser: 3}"));
  EXPECT_EQ(out.run_as_user().value(), 3);
  EXPECT_EQ(out.run_as_group().value(), 2);
  image_ = {1001, ""};
  EXPECT_EQ(Container(Pod("{}", "{}")).run_as_user().value(), 1001);
  image_ = {std::nullopt, "www"};
  out = Container(Pod("{}", "{}"));
  EXPECT_FALSE(out.has_run_as_user());
  EXPECT_EQ(out.run_as_username(), "www");
  out = Container(Pod("{runAsUser: 0}", "{}"));
  EXPECT_TRUE(out.has_run_as_user());
  EXPECT_EQ(out.run_as_username(), "");
}

TEST_F(SecurityTest, NonRootIsCheckedBeforeAnythingRuns) {
  const std::string who = "(pod: \"web_default(u1)\", container: c)";
  const auto pod = Pod("{runAsNonRoot: true}", "{}");
  EXPECT_EQ(Error(pod), "container has runAsNonRoot and image will run as root " + who);
  image_ = {std::nullopt, "www"};
  EXPECT_EQ(Error(pod),
            "container has runAsNonRoot and image has non-numeric user (www), cannot "
            "verify user is non-root " +
                who);
  image_ = {1001, ""};
  EXPECT_TRUE(Try(pod).ok());
  EXPECT_EQ(Error(Pod("{runAsNonRoot: true, runAsUser: 0}", "{}")),
            "container's runAsUser breaks non-root policy " + who);
  EXPECT_TRUE(Try(Pod("{runAsNonRoot: true}", "{runAsUser: 5}")).ok());
  image_ = {0, ""};
  EXPECT_TRUE(Try(Pod("{runAsNonRoot: true}", "{runAsNonRoot: false}")).ok());
}

TEST_F(SecurityTest, SwitchesArePassedOn) {
  auto out = Container(Pod("{}",
                           "{privileged: true, readOnlyRootFilesystem: true, "
                           "allowPrivilegeEscalation: false, capabilities: {add: [NET_ADMIN], "
                           "drop: [ALL]}}"));
  EXPECT_TRUE(out.privileged());
  EXPECT_TRUE(out.readonly_rootfs());
  EXPECT_TRUE(out.no_new_privs());
  EXPECT_THAT(out.capabilities().add_capabilities(), ElementsAre("NET_ADMIN"));
  EXPECT_THAT(out.capabilities().drop_capabilities(), ElementsAre("ALL"));
  out = Container(Pod("{}", "{allowPrivilegeEscalation: true}"));
  EXPECT_FALSE(out.no_new_privs());
  EXPECT_FALSE(out.has_capabilities());
  EXPECT_FALSE(Container(Pod("{}", "{}")).no_new_privs());
}

TEST_F(SecurityTest, SELinuxOptionsOfTheContainerReplaceThePods) {
  auto out =
      Container(Pod("{seLinuxOptions: {level: s0, role: r}}", "{seLinuxOptions: {type: t}}"));
  EXPECT_EQ(out.selinux_options().type(), "t");
  EXPECT_EQ(out.selinux_options().level(), "");
  EXPECT_EQ(Container(Pod("{seLinuxOptions: {level: s0}}", "{}")).selinux_options().level(), "s0");
}

TEST_F(SecurityTest, GroupsInOrder) {
  context_.volume_groups = {99};
  const auto pod =
      Pod("{fsGroup: 5, supplementalGroups: [7, 8], supplementalGroupsPolicy: Strict}", "{}");
  EXPECT_THAT(Container(pod).supplemental_groups(), ElementsAre(5, 7, 8, 99));
  EXPECT_EQ(Container(pod).supplemental_groups_policy(), rt::Strict);
  auto sandbox = *SandboxSecurity(pod, context_);
  EXPECT_THAT(sandbox.supplemental_groups(), ElementsAre(5, 99, 7, 8));
  EXPECT_EQ(sandbox.supplemental_groups_policy(), rt::Strict);
  EXPECT_EQ(Error(Pod("{supplementalGroupsPolicy: Odd}", "{}")),
            "unsupported supplementalGroupsPolicy: Odd");
}

TEST_F(SecurityTest, SeccompFollowsContainerPodDefault) {
  using P = rt::SecurityProfile;
  const struct {
    const char* pod;
    const char* container;
    bool by_default;
    P::ProfileType type;
    const char* ref;
  } cases[] = {
      {"{}", "{}", false, P::Unconfined, ""},
      {"{}", "{}", true, P::RuntimeDefault, ""},
      {"{seccompProfile: {type: RuntimeDefault}}", "{}", false, P::RuntimeDefault, ""},
      {"{seccompProfile: {type: RuntimeDefault}}", "{seccompProfile: {type: Unconfined}}", true,
       P::Unconfined, ""},
      {"{}", "{seccompProfile: {type: Localhost, localhostProfile: a/b.json}}", false, P::Localhost,
       "/var/lib/kubelet/seccomp/a/b.json"},
  };
  for (const auto& c : cases) {
    context_.seccomp_default = c.by_default;
    auto out = Container(Pod(c.pod, c.container));
    EXPECT_EQ(out.seccomp().profile_type(), c.type) << c.pod << c.container;
    EXPECT_EQ(out.seccomp().localhost_ref(), c.ref);
  }
  EXPECT_EQ(Error(Pod("{}", "{seccompProfile: {type: Localhost}}")),
            "localhostProfile must be set if seccompProfile type is Localhost.");
  EXPECT_EQ(Error(Pod("{}", "{seccompProfile: {type: Localhost, localhostProfile: ../../x}}")),
            "seccomp localhostProfile \"../../x\": must not contain '..'");
}

TEST_F(SecurityTest, AppArmorFollowsContainerAnnotationPod) {
  EXPECT_FALSE(Container(Pod("{}", "{}")).has_apparmor());
  v1::Pod pod = Pod("{appArmorProfile: {type: RuntimeDefault}}", "{}");
  EXPECT_EQ(Container(pod).apparmor().profile_type(), rt::SecurityProfile::RuntimeDefault);
  (*pod.mutable_metadata()
        ->mutable_annotations())["container.apparmor.security.beta.kubernetes.io/c"] =
      "localhost/prof";
  auto out = Container(pod);
  EXPECT_EQ(out.apparmor().profile_type(), rt::SecurityProfile::Localhost);
  EXPECT_EQ(out.apparmor().localhost_ref(), "prof");
  pod.mutable_spec()
      ->mutable_containers(0)
      ->mutable_securitycontext()
      ->mutable_apparmorprofile()
      ->set_type("Unconfined");
  EXPECT_EQ(Container(pod).apparmor().profile_type(), rt::SecurityProfile::Unconfined);
  EXPECT_EQ(Error(Pod("{}", "{appArmorProfile: {type: Localhost}}")),
            "missing localhost apparmor profile name");
}

TEST_F(SecurityTest, ProcIsMaskedUnlessAskedForWhole) {
  context_.masked_cpu_paths = {"/sys/devices/system/cpu/cpu0/thermal_throttle"};
  auto out = Container(Pod("{}", "{}"));
  EXPECT_EQ(out.masked_paths_size(), 13);
  EXPECT_THAT(out.masked_paths(), Contains("/proc/kcore"));
  EXPECT_THAT(out.masked_paths(), Contains("/sys/devices/system/cpu/cpu0/thermal_throttle"));
  EXPECT_THAT(out.readonly_paths(), ElementsAre("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                                "/proc/sysrq-trigger"));
  out = Container(Pod("{}", "{procMount: Unmasked}"));
  EXPECT_THAT(out.masked_paths(), IsEmpty());
  EXPECT_THAT(out.readonly_paths(), IsEmpty());
}

TEST_F(SecurityTest, NamespacesFollowTheTable) {
  const struct {
    const char* spec;
    rt::NamespaceMode network, pid, ipc;
  } cases[] = {
      {"", rt::POD, rt::CONTAINER, rt::POD},
      {"  hostNetwork: true\n", rt::NODE, rt::CONTAINER, rt::POD},
      {"  hostPID: true\n", rt::POD, rt::NODE, rt::POD},
      {"  hostPID: true\n  shareProcessNamespace: true\n", rt::POD, rt::NODE, rt::POD},
      {"  shareProcessNamespace: true\n", rt::POD, rt::POD, rt::POD},
      {"  hostIPC: true\n  hostUsers: true\n", rt::POD, rt::CONTAINER, rt::NODE},
  };
  for (const auto& c : cases) {
    auto out = *PodNamespaces(Pod("{}", "{}", c.spec), context_);
    EXPECT_EQ(out.network(), c.network) << c.spec;
    EXPECT_EQ(out.pid(), c.pid) << c.spec;
    EXPECT_EQ(out.ipc(), c.ipc) << c.spec;
    EXPECT_EQ(out.userns_options().mode(), rt::NODE) << c.spec;
  }
}

TEST_F(SecurityTest, OwnUsersNeedIds) {
  const auto pod = Pod("{}", "{}", "  hostUsers: false\n");
  EXPECT_EQ(PodNamespaces(pod, context_).status().code(), absl::StatusCode::kFailedPrecondition);
  context_.user_namespace = {{131072, 65536}};
  auto users = PodNamespaces(pod, context_)->userns_options();
  EXPECT_EQ(users.mode(), rt::POD);
  ASSERT_EQ(users.uids_size(), 1);
  EXPECT_EQ(users.uids(0).host_id(), 131072u);
  EXPECT_EQ(users.uids(0).container_id(), 0u);
  EXPECT_EQ(users.gids(0).length(), 65536u);
}

TEST_F(SecurityTest, EphemeralContainerSeesItsTargetsProcesses) {
  target_ = "abc";
  auto out = Container(Pod("{}", "{}"));
  EXPECT_EQ(out.namespace_options().pid(), rt::TARGET);
  EXPECT_EQ(out.namespace_options().target_id(), "abc");
  out = Container(Pod("{}", "{}", "  shareProcessNamespace: true\n"));
  EXPECT_EQ(out.namespace_options().pid(), rt::POD);
}

TEST_F(SecurityTest, SandboxIsPrivilegedWhenAnyContainerIs) {
  EXPECT_TRUE(SandboxSecurity(Pod("{}", "{privileged: true}"), context_)->privileged());
  EXPECT_TRUE(SandboxSecurity(Pod("{}", "{}",
                                  "  initContainers: [{name: i, securityContext: {privileged: "
                                  "true}}]\n"),
                              context_)
                  ->privileged());
  auto plain = *SandboxSecurity(Pod("{runAsUser: 7}", "{}"), context_);
  EXPECT_FALSE(plain.privileged());
  EXPECT_EQ(plain.run_as_user().value(), 7);
  EXPECT_EQ(plain.seccomp().profile_type(), rt::SecurityProfile::RuntimeDefault);
}

TEST(ImageUserOf, ImageWithoutUserRunsAsRoot) {
  rt::Image image;
  EXPECT_EQ(ImageUserOf(image).uid, 0);
  image.set_username("www");
  EXPECT_EQ(ImageUserOf(image).uid, std::nullopt);
  EXPECT_EQ(ImageUserOf(image).name, "www");
  image.mutable_uid()->set_value(12);
  EXPECT_EQ(ImageUserOf(image).uid, 12);
}

}  // namespace
}  // namespace keelson::cri
