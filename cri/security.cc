// SPDX-License-Identifier: Apache-2.0
#include "cri/security.h"

#include <limits>

#include "base/files.h"
#include "base/strings.h"

namespace keelson::cri {

using base::StrCat;

namespace {

constexpr const char* kMaskedPaths[] = {
    "/proc/asound",     "/proc/acpi",        "/proc/interrupts",
    "/proc/kcore",      "/proc/keys",        "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
    "/proc/scsi",       "/sys/firmware",     "/sys/devices/virtual/powercap"};
constexpr const char* kReadonlyPaths[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                          "/proc/sysrq-trigger"};

// The container's settings over the pod's; profiles are resolved elsewhere.
v1::SecurityContext Effective(const v1::Pod& pod, const v1::Container& container) {
  const auto& base = pod.spec().securitycontext();
  v1::SecurityContext result;
  if (base.has_runasuser()) result.set_runasuser(base.runasuser());
  if (base.has_runasgroup()) result.set_runasgroup(base.runasgroup());
  if (base.has_runasnonroot()) result.set_runasnonroot(base.runasnonroot());
  if (base.has_selinuxoptions()) *result.mutable_selinuxoptions() = base.selinuxoptions();
  v1::SecurityContext own = container.securitycontext();
  // The container's SELinux options replace the pod's as a whole; a merge would mix them.
  if (own.has_selinuxoptions()) result.clear_selinuxoptions();
  result.MergeFrom(own);
  return result;
}

rt::SELinuxOption SeLinux(const v1::SELinuxOptions& options) {
  rt::SELinuxOption result;
  result.set_user(options.user());
  result.set_role(options.role());
  result.set_type(options.type());
  result.set_level(options.level());
  return result;
}

rt::SecurityProfile Profile(rt::SecurityProfile::ProfileType type, std::string ref = "") {
  rt::SecurityProfile profile;
  profile.set_profile_type(type);
  profile.set_localhost_ref(std::move(ref));
  return profile;
}

absl::StatusOr<rt::SecurityProfile> Seccomp(const v1::Pod& pod, const v1::Container& container,
                                            const SecurityContext& context) {
  const v1::SeccompProfile* wanted = nullptr;
  if (container.securitycontext().has_seccompprofile())
    wanted = &container.securitycontext().seccompprofile();
  else if (pod.spec().securitycontext().has_seccompprofile())
    wanted = &pod.spec().securitycontext().seccompprofile();
  if (!wanted)
    return Profile(context.seccomp_default ? rt::SecurityProfile::RuntimeDefault
                                           : rt::SecurityProfile::Unconfined);
  if (wanted->type() == "RuntimeDefault") return Profile(rt::SecurityProfile::RuntimeDefault);
  if (wanted->type() != "Localhost") return Profile(rt::SecurityProfile::Unconfined);
  if (wanted->localhostprofile().empty())
    return absl::InvalidArgumentError(
        "localhostProfile must be set if seccompProfile type is Localhost.");
  if (StrCat("/", wanted->localhostprofile(), "/").find("/../") != std::string::npos)
    return absl::InvalidArgumentError(StrCat(
        "seccomp localhostProfile \"", wanted->localhostprofile(), "\": must not contain '..'"));
  return Profile(rt::SecurityProfile::Localhost,
                 base::JoinPath(context.seccomp_root, wanted->localhostprofile()));
}

constexpr char kAppArmorAnnotation[] = "container.apparmor.security.beta.kubernetes.io/";
constexpr std::string_view kLocalhostPrefix = "localhost/";

std::optional<v1::AppArmorProfile> AppArmorFromAnnotation(const v1::Pod& pod,
                                                          const std::string& container) {
  const auto& annotations = pod.metadata().annotations();
  auto it = annotations.find(kAppArmorAnnotation + container);
  if (it == annotations.end()) return std::nullopt;
  v1::AppArmorProfile profile;
  if (it->second == "runtime/default") {
    profile.set_type("RuntimeDefault");
  } else if (it->second == "unconfined") {
    profile.set_type("Unconfined");
  } else if (it->second.starts_with(kLocalhostPrefix)) {
    profile.set_type("Localhost");
    profile.set_localhostprofile(it->second.substr(kLocalhostPrefix.size()));
  } else {
    return std::nullopt;
  }
  return profile;
}

std::optional<v1::AppArmorProfile> WantedAppArmor(const v1::Pod& pod,
                                                  const v1::Container& container) {
  if (container.securitycontext().has_apparmorprofile())
    return container.securitycontext().apparmorprofile();
  if (auto old = AppArmorFromAnnotation(pod, container.name())) return old;
  if (pod.spec().securitycontext().has_apparmorprofile())
    return pod.spec().securitycontext().apparmorprofile();
  return std::nullopt;
}

void SetAppArmor(rt::SecurityProfile profile, const std::string& old_form,
                 rt::LinuxContainerSecurityContext* out) {
  *out->mutable_apparmor() = std::move(profile);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"  // what runtimes before CRI 1.30 read
  out->set_apparmor_profile(old_form);
#pragma GCC diagnostic pop
}

absl::Status SetAppArmor(const v1::Pod& pod, const v1::Container& container,
                         rt::LinuxContainerSecurityContext* out) {
  const auto wanted = WantedAppArmor(pod, container);
  if (!wanted) return absl::OkStatus();
  if (wanted->type() == "RuntimeDefault") {
    SetAppArmor(Profile(rt::SecurityProfile::RuntimeDefault), "runtime/default", out);
  } else if (wanted->type() == "Unconfined") {
    SetAppArmor(Profile(rt::SecurityProfile::Unconfined), "unconfined", out);
  } else if (wanted->type() != "Localhost") {
    return absl::InvalidArgumentError(
        StrCat("unknown apparmor profile type: \"", wanted->type(), "\""));
  } else if (!wanted->has_localhostprofile()) {
    return absl::InvalidArgumentError("missing localhost apparmor profile name");
  } else {
    SetAppArmor(Profile(rt::SecurityProfile::Localhost, wanted->localhostprofile()),
                StrCat(kLocalhostPrefix, wanted->localhostprofile()), out);
  }
  return absl::OkStatus();
}

absl::StatusOr<rt::SupplementalGroupsPolicy> GroupsPolicy(const v1::PodSecurityContext& context) {
  if (!context.has_supplementalgroupspolicy()) return rt::Merge;
  if (context.supplementalgroupspolicy() == "Merge") return rt::Merge;
  if (context.supplementalgroupspolicy() == "Strict") return rt::Strict;
  return absl::InvalidArgumentError(
      StrCat("unsupported supplementalGroupsPolicy: ", context.supplementalgroupspolicy()));
}

absl::Status CheckNonRoot(const v1::Pod& pod, const v1::Container& container,
                          const v1::SecurityContext& effective, const ImageUser& image) {
  if (!effective.runasnonroot()) return absl::OkStatus();
  const std::string who =
      StrCat("(pod: \"", PodDescription(pod), "\", container: ", container.name(), ")");
  if (effective.has_runasuser()) {
    if (effective.runasuser() != 0) return absl::OkStatus();
    return absl::FailedPreconditionError(
        StrCat("container's runAsUser breaks non-root policy ", who));
  }
  if (!image.uid) {
    if (image.name.empty()) return absl::OkStatus();
    return absl::FailedPreconditionError(
        StrCat("container has runAsNonRoot and image has non-numeric user (", image.name,
               "), cannot verify user is non-root ", who));
  }
  if (*image.uid == 0)
    return absl::FailedPreconditionError(
        StrCat("container has runAsNonRoot and image will run as root ", who));
  constexpr int64_t kMaxId = std::numeric_limits<int32_t>::max();
  if (*image.uid > 0 && *image.uid <= kMaxId) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat("container has runAsNonRoot and image has an invalid user id (", *image.uid,
             "). (Must be 1-(", kMaxId, ")): must be between 0 and ", kMaxId, ", inclusive ", who));
}

bool AnyPrivileged(const v1::Pod& pod) {
  for (const auto& c : pod.spec().containers())
    if (c.securitycontext().privileged()) return true;
  for (const auto& c : pod.spec().initcontainers())
    if (c.securitycontext().privileged()) return true;
  for (const auto& c : pod.spec().ephemeralcontainers())
    if (c.ephemeralcontainercommon().securitycontext().privileged()) return true;
  return false;
}

void SetIds(const v1::SecurityContext& effective, const ImageUser& image,
            rt::LinuxContainerSecurityContext* out) {
  if (effective.has_runasuser()) {
    out->mutable_run_as_user()->set_value(effective.runasuser());
  } else {
    if (image.uid) out->mutable_run_as_user()->set_value(*image.uid);
    out->set_run_as_username(image.name);
  }
  if (effective.has_runasgroup()) out->mutable_run_as_group()->set_value(effective.runasgroup());
}

absl::Status SetGroups(const v1::PodSecurityContext& pod, const SecurityContext& context,
                       rt::LinuxContainerSecurityContext* out) {
  if (pod.has_fsgroup()) out->add_supplemental_groups(pod.fsgroup());
  for (const int64_t gid : pod.supplementalgroups()) out->add_supplemental_groups(gid);
  for (const int64_t gid : context.volume_groups) out->add_supplemental_groups(gid);
  auto policy = GroupsPolicy(pod);
  if (!policy.ok()) return policy.status();
  out->set_supplemental_groups_policy(*policy);
  return absl::OkStatus();
}

void SetCapabilities(const v1::SecurityContext& own, rt::LinuxContainerSecurityContext* out) {
  if (!own.has_capabilities()) return;
  auto* capabilities = out->mutable_capabilities();  // present even when both lists are empty
  for (const auto& name : own.capabilities().add()) capabilities->add_add_capabilities(name);
  for (const auto& name : own.capabilities().drop()) capabilities->add_drop_capabilities(name);
}

void SetProcPaths(const v1::SecurityContext& effective, const SecurityContext& context,
                  rt::LinuxContainerSecurityContext* out) {
  if (effective.procmount() == "Unmasked") return;
  for (const char* path : kMaskedPaths) out->add_masked_paths(path);
  for (const std::string& path : context.masked_cpu_paths) out->add_masked_paths(path);
  for (const char* path : kReadonlyPaths) out->add_readonly_paths(path);
}

}  // namespace

ImageUser ImageUserOf(const rt::Image& image) {
  if (image.has_uid()) return {image.uid().value(), ""};
  if (!image.username().empty()) return {std::nullopt, image.username()};
  return {0, ""};
}

absl::StatusOr<rt::NamespaceOption> PodNamespaces(const v1::Pod& pod,
                                                  const SecurityContext& context) {
  const auto& spec = pod.spec();
  rt::NamespaceOption options;
  options.set_network(spec.hostnetwork() ? rt::NODE : rt::POD);
  options.set_ipc(spec.hostipc() ? rt::NODE : rt::POD);
  options.set_pid(spec.hostpid()                 ? rt::NODE
                  : spec.shareprocessnamespace() ? rt::POD
                                                 : rt::CONTAINER);
  auto* users = options.mutable_userns_options();
  users->set_mode(rt::NODE);
  if (!spec.has_hostusers() || spec.hostusers()) return options;
  if (!context.user_namespace)
    return absl::FailedPreconditionError(
        "can't set `spec.hostUsers: false`, runtime does not support user namespaces");
  users->set_mode(rt::POD);
  for (auto* ids : {users->add_uids(), users->add_gids()}) {
    ids->set_container_id(0);
    ids->set_host_id(context.user_namespace->first);
    ids->set_length(context.user_namespace->length);
  }
  return options;
}

absl::StatusOr<rt::LinuxSandboxSecurityContext> SandboxSecurity(const v1::Pod& pod,
                                                                const SecurityContext& context) {
  rt::LinuxSandboxSecurityContext out;
  out.set_privileged(AnyPrivileged(pod));
  *out.mutable_seccomp() = Profile(rt::SecurityProfile::RuntimeDefault);
  if (!pod.spec().has_securitycontext()) return out;
  const auto& own = pod.spec().securitycontext();
  if (own.has_runasuser()) out.mutable_run_as_user()->set_value(own.runasuser());
  if (own.has_runasgroup()) out.mutable_run_as_group()->set_value(own.runasgroup());
  auto namespaces = PodNamespaces(pod, context);
  if (!namespaces.ok()) return namespaces.status();
  *out.mutable_namespace_options() = *std::move(namespaces);
  if (own.has_fsgroup()) out.add_supplemental_groups(own.fsgroup());
  for (const int64_t gid : context.volume_groups) out.add_supplemental_groups(gid);
  for (const int64_t gid : own.supplementalgroups()) out.add_supplemental_groups(gid);
  auto policy = GroupsPolicy(own);
  if (!policy.ok()) return policy.status();
  out.set_supplemental_groups_policy(*policy);
  if (own.has_selinuxoptions()) *out.mutable_selinux_options() = SeLinux(own.selinuxoptions());
  return out;
}

absl::StatusOr<rt::LinuxContainerSecurityContext> ContainerSecurity(
    const v1::Pod& pod, const v1::Container& container, const ImageUser& image_user,
    const std::string& target_container, const SecurityContext& context) {
  const v1::SecurityContext own = Effective(pod, container);
  if (auto status = CheckNonRoot(pod, container, own, image_user); !status.ok()) return status;
  rt::LinuxContainerSecurityContext out;
  SetIds(own, image_user, &out);
  out.set_privileged(own.privileged());
  out.set_readonly_rootfs(own.readonlyrootfilesystem());
  SetCapabilities(own, &out);
  if (own.has_selinuxoptions()) *out.mutable_selinux_options() = SeLinux(own.selinuxoptions());
  auto seccomp = Seccomp(pod, container, context);
  if (!seccomp.ok()) return seccomp.status();
  *out.mutable_seccomp() = *std::move(seccomp);
  if (auto status = SetAppArmor(pod, container, &out); !status.ok()) return status;
  auto namespaces = PodNamespaces(pod, context);
  if (!namespaces.ok()) return namespaces.status();
  *out.mutable_namespace_options() = *std::move(namespaces);
  if (!target_container.empty() && out.namespace_options().pid() == rt::CONTAINER) {
    out.mutable_namespace_options()->set_pid(rt::TARGET);
    out.mutable_namespace_options()->set_target_id(target_container);
  }
  if (auto status = SetGroups(pod.spec().securitycontext(), context, &out); !status.ok())
    return status;
  out.set_no_new_privs(own.has_allowprivilegeescalation() && !own.allowprivilegeescalation());
  SetProcPaths(own, context, &out);
  return out;
}

}  // namespace keelson::cri
