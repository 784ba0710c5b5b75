// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/strings.h"
#include "kubelet/sources/checks.h"

namespace keelson::kubelet::sources {
namespace {

using base::StrCat;

constexpr std::string_view kSeccompPod = "seccomp.security.alpha.kubernetes.io/pod";
constexpr std::string_view kSeccompContainer = "container.seccomp.security.alpha.kubernetes.io/";
constexpr std::string_view kAppArmor = "container.apparmor.security.beta.kubernetes.io/";

void CheckSeccomp(const v1::SeccompProfile& profile, const FieldPath& path, FieldErrors* errors) {
  const FieldPath type = path.Child("type"), file = path.Child("localhostProfile");
  if (profile.type().empty()) {
    errors->Required(type, "type is required when seccompProfile is set");
  } else if (!OneOf(profile.type(), {"Localhost", "RuntimeDefault", "Unconfined"})) {
    errors->NotSupported(type, profile.type(), {"Localhost", "RuntimeDefault", "Unconfined"});
  }
  if (profile.type() == "Localhost" && !profile.has_localhostprofile()) {
    errors->Required(file, "must be set when seccomp type is Localhost");
  } else if (profile.type() == "Localhost") {
    CheckDescending(profile.localhostprofile(), file, errors);
  } else if (profile.has_localhostprofile()) {
    errors->Invalid(file, profile.localhostprofile(),
                    "can only be set when seccomp type is Localhost");
  }
}

void CheckAppArmor(const v1::AppArmorProfile& profile, const FieldPath& path,
                   FieldErrors* errors) {
  const FieldPath type = path.Child("type"), file = path.Child("localhostProfile");
  constexpr std::string_view spaces = " \t\n\v\f\r";
  if (profile.type() == "Localhost") {
    const std::string& name = profile.localhostprofile();
    if (!profile.has_localhostprofile() || name.empty()) {
      errors->Required(file, "must be set when AppArmor type is Localhost");
    } else if (spaces.find(name.front()) != std::string_view::npos ||
               spaces.find(name.back()) != std::string_view::npos) {
      errors->Invalid(file, name, "must not be padded with whitespace");
    }
    if (name.size() > 4095) errors->TooLong(file, 4095);
  } else if (OneOf(profile.type(), {"RuntimeDefault", "Unconfined"})) {
    if (profile.has_localhostprofile()) {
      errors->Invalid(file, profile.localhostprofile(),
                      "can only be set when AppArmor type is Localhost");
    }
  } else if (profile.type().empty()) {
    errors->Required(type, "type is required when appArmorProfile is set");
  } else {
    errors->NotSupported(type, profile.type(), {"Localhost", "RuntimeDefault", "Unconfined"});
  }
}

enum class SysctlNamespace { kNone, kIpc, kNet };

// sysctl(8) allows both separators; the first one that appears decides (sysctl.d(5)).
SysctlNamespace NamespaceOf(std::string name) {
  const size_t first = name.find_first_of("./");
  if (first != std::string::npos && name[first] == '/') {
    for (char& c : name) c = c == '/' ? '.' : c == '.' ? '/' : c;
  }
  name = name.substr(0, name.find('*'));
  if (name.starts_with("net.")) return SysctlNamespace::kNet;
  const bool ipc =
      name.starts_with("fs.mqueue.") ||
      OneOf(name, {"kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni",
                   "kernel.shm_rmid_forced", "kernel.shm", "kernel.msgmax", "kernel.msgmnb",
                   "kernel.msgmni", "kernel.msg"});
  return ipc ? SysctlNamespace::kIpc : SysctlNamespace::kNone;
}

void CheckSysctls(const v1::PodSpec& pod, const FieldPath& all, FieldErrors* errors) {
  std::set<std::string> names;
  for (int i = 0; i < pod.securitycontext().sysctls_size(); ++i) {
    const std::string& name = pod.securitycontext().sysctls(i).name();
    const FieldPath path = all.Index(i).Child("name");
    if (name.empty()) {
      errors->Required(path);
    } else if (!IsSysctlName(name)) {
      errors->Invalid(path, name,
                      "must have at most 253 characters and match regex "
                      "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$");
    } else if (names.contains(name)) {
      errors->Duplicate(path, name);
    }
    names.insert(name);
    const SysctlNamespace space = NamespaceOf(name);
    if (pod.hostnetwork() && space == SysctlNamespace::kNet) {
      errors->Invalid(path, name, "may not be specified when 'hostNetwork' is true");
    } else if (pod.hostipc() && space == SysctlNamespace::kIpc) {
      errors->Invalid(path, name, "may not be specified when 'hostIPC' is true");
    }
  }
}

void CheckSeccompAnnotation(const std::string& value, const FieldPath& path,
                            FieldErrors* errors) {
  if (OneOf(value, {"runtime/default", "docker/default", "unconfined"})) return;
  if (value.starts_with("localhost/")) return CheckDescending(value.substr(10), path, errors);
  errors->Invalid(path, value, "must be a valid seccomp profile");
}

bool HasContainer(const v1::PodSpec& pod, std::string_view name) {
  bool found = false;
  ForEachContainer(pod, FieldPath("spec"), [&](const v1::Container& container, const FieldPath&) {
    found = found || container.name() == name;
  });
  return found;
}

// An annotation of old and the field of today must say the same.
template <typename Profile>
void CheckSame(const std::string& annotation, const Profile& field,
               std::initializer_list<std::string_view> defaults, std::string_view what,
               std::string_view noun, const FieldPath& path, FieldErrors* errors) {
  const std::string type = StrCat(what, " type in annotation and field must match");
  if (field.type() == "Unconfined") {
    if (annotation != "unconfined") errors->Forbidden(path.Child("type"), type);
  } else if (field.type() == "RuntimeDefault") {
    if (!OneOf(annotation, defaults)) errors->Forbidden(path.Child("type"), type);
  } else if (field.type() == "Localhost") {
    if (!annotation.starts_with("localhost/")) {
      errors->Forbidden(path.Child("type"), type);
    } else if (annotation.substr(10) != field.localhostprofile()) {
      errors->Forbidden(path.Child("localhostProfile"),
                        StrCat(noun, " profile in annotation and field must match"));
    }
  }
}

void CheckWindows(const v1::PodSpec& pod, const FieldPath& spec, FieldErrors* errors) {
  const auto forbid = [&](bool present, const FieldPath& path) {
    if (present) errors->Forbidden(path, "cannot be set for a windows pod");
  };
  const auto& sc = pod.securitycontext();
  const FieldPath path = spec.Child("securityContext");
  forbid(sc.has_apparmorprofile(), path.Child("appArmorProfile"));
  forbid(sc.has_selinuxoptions(), path.Child("seLinuxOptions"));
  forbid(pod.has_hostusers(), spec.Child("hostUsers"));
  forbid(pod.hostpid(), spec.Child("hostPID"));
  forbid(pod.hostipc(), spec.Child("hostIPC"));
  forbid(sc.has_seccompprofile(), path.Child("seccompProfile"));
  forbid(sc.has_fsgroup(), path.Child("fsGroup"));
  forbid(sc.has_fsgroupchangepolicy(), path.Child("fsGroupChangePolicy"));
  forbid(!sc.sysctls().empty(), path.Child("sysctls"));
  forbid(pod.has_shareprocessnamespace(), spec.Child("shareProcessNamespace"));
  forbid(sc.has_runasuser(), path.Child("runAsUser"));
  forbid(sc.has_runasgroup(), path.Child("runAsGroup"));
  forbid(!sc.supplementalgroups().empty(), path.Child("supplementalGroups"));
  forbid(sc.has_supplementalgroupspolicy(), path.Child("supplementalGroupsPolicy"));
  forbid(sc.has_selinuxchangepolicy(), path.Child("seLinuxChangePolicy"));
  ForEachContainer(pod, spec, [&](const v1::Container& container, const FieldPath& at) {
    const auto& context = container.securitycontext();
    const FieldPath where = at.Child("securityContext");
    forbid(context.has_apparmorprofile(), where.Child("appArmorProfile"));
    forbid(context.has_selinuxoptions(), where.Child("seLinuxOptions"));
    forbid(context.has_seccompprofile(), where.Child("seccompProfile"));
    forbid(context.has_capabilities(), where.Child("capabilities"));
    forbid(context.has_readonlyrootfilesystem(), where.Child("readOnlyRootFilesystem"));
    forbid(context.has_privileged(), where.Child("privileged"));
    forbid(context.has_allowprivilegeescalation(), where.Child("allowPrivilegeEscalation"));
    forbid(context.has_procmount(), where.Child("procMount"));
    forbid(context.has_runasuser(), where.Child("runAsUser"));
    forbid(context.has_runasgroup(), where.Child("runAsGroup"));
  });
}

void CheckIds(const v1::PodSecurityContext& sc, const FieldPath& path, FieldErrors* errors) {
  const auto id = [&](bool present, int64_t value, const FieldPath& at) {
    if (!present) return;
    for (const auto& text : UserId(value)) errors->Invalid(at, value, text);
  };
  id(sc.has_fsgroup(), sc.fsgroup(), path.Child("fsGroup"));
  id(sc.has_runasuser(), sc.runasuser(), path.Child("runAsUser"));
  id(sc.has_runasgroup(), sc.runasgroup(), path.Child("runAsGroup"));
  for (int i = 0; i < sc.supplementalgroups_size(); ++i) {
    id(true, sc.supplementalgroups(i), path.Child("supplementalGroups").Index(i));
  }
}

}  // namespace

void CheckSecurityContext(const v1::Container& container, bool host_users, const FieldPath& path,
                          FieldErrors* errors) {
  if (!container.has_securitycontext()) return;
  const auto& sc = container.securitycontext();
  const auto id = [&](bool present, int64_t value, std::string_view field) {
    if (!present) return;
    for (const auto& text : UserId(value)) errors->Invalid(path.Child(field), value, text);
  };
  id(sc.has_runasuser(), sc.runasuser(), "runAsUser");
  id(sc.has_runasgroup(), sc.runasgroup(), "runAsGroup");
  if (sc.has_procmount()) {
    if (!OneOf(sc.procmount(), {"Default", "Unmasked"})) {
      errors->NotSupported(path.Child("procMount"), sc.procmount(), {"Default", "Unmasked"});
    }
    if (host_users && sc.procmount() == "Unmasked") {
      errors->Invalid(path.Child("procMount"), sc.procmount(),
                      "`hostUsers` must be false to use `Unmasked`");
    }
  }
  if (sc.has_seccompprofile()) {
    CheckSeccomp(sc.seccompprofile(), path.Child("seccompProfile"), errors);
  }
  if (sc.has_allowprivilegeescalation() && !sc.allowprivilegeescalation()) {
    if (sc.privileged()) {
      errors->InvalidJson(
          path, "{\"allowPrivilegeEscalation\":false,\"privileged\":true}",
          "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
    }
    for (const std::string& capability : sc.capabilities().add()) {
      if (capability != "CAP_SYS_ADMIN") continue;
      errors->InvalidJson(path, "{\"allowPrivilegeEscalation\":false}",
                          "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` "
                          "CAP_SYS_ADMIN");
    }
  }
  if (sc.has_apparmorprofile()) {
    CheckAppArmor(sc.apparmorprofile(), path.Child("appArmorProfile"), errors);
  }
}

void CheckPodSecurity(const v1::PodSpec& pod, const FieldPath& path, FieldErrors* errors) {
  const auto& sc = pod.securitycontext();
  CheckIds(sc, path, errors);
  if (pod.shareprocessnamespace() && pod.hostpid()) {
    errors->InvalidJson(path.Child("shareProcessNamespace"), "true",
                        "ShareProcessNamespace and HostPID cannot both be enabled");
  }
  CheckSysctls(pod, path.Child("sysctls"), errors);
  const auto word = [&](bool present, const std::string& value,
                        std::initializer_list<std::string_view> allowed, std::string_view field) {
    if (present && !OneOf(value, allowed)) errors->NotSupported(path.Child(field), value, allowed);
  };
  word(sc.has_fsgroupchangepolicy(), sc.fsgroupchangepolicy(), {"Always", "OnRootMismatch"},
       "fsGroupChangePolicy");
  if (sc.has_seccompprofile()) {
    CheckSeccomp(sc.seccompprofile(), path.Child("seccompProfile"), errors);
  }
  if (sc.has_apparmorprofile()) {
    CheckAppArmor(sc.apparmorprofile(), path.Child("appArmorProfile"), errors);
  }
  word(sc.has_supplementalgroupspolicy(), sc.supplementalgroupspolicy(), {"Merge", "Strict"},
       "supplementalGroupsPolicy");
  word(sc.has_selinuxchangepolicy(), sc.selinuxchangepolicy(), {"MountOption", "Recursive"},
       "seLinuxChangePolicy");
}

void CheckSecurityAnnotations(const v1::Pod& pod, const FieldPath& path, FieldErrors* errors) {
  const auto& all = pod.metadata().annotations();
  const std::map<std::string, std::string> sorted(all.begin(), all.end());
  for (const auto& [key, value] : sorted) {
    if (key == kSeccompPod || key.starts_with(kSeccompContainer)) {
      CheckSeccompAnnotation(value, path.Child(key), errors);
    }
  }
  for (const auto& [key, value] : sorted) {
    if (!key.starts_with(kAppArmor)) continue;
    const std::string container = key.substr(kAppArmor.size());
    if (!HasContainer(pod.spec(), container)) {
      errors->Invalid(path.Key(key), container, "container not found");
    }
    if (!value.empty() && !OneOf(value, {"runtime/default", "unconfined"}) &&
        !value.starts_with("localhost/")) {
      errors->Invalid(path.Key(key), value,
                      StrCat("invalid AppArmor profile name: ", Quoted(value)));
    }
  }
}

void CheckAnnotationsMatchFields(const v1::Pod& pod, const FieldPath& spec, FieldErrors* errors) {
  const auto& context = pod.spec().securitycontext();
  const auto of_pod = Annotation(pod, kSeccompPod);
  const std::initializer_list<std::string_view> seccomp_defaults = {"runtime/default",
                                                                    "docker/default"};
  if (of_pod && context.has_seccompprofile()) {
    CheckSame(*of_pod, context.seccompprofile(), seccomp_defaults, "seccomp", "seccomp",
              spec.Child("securityContext").Child("seccompProfile"), errors);
  }
  ForEachContainer(pod.spec(), spec, [&](const v1::Container& container, const FieldPath& at) {
    const auto& own = container.securitycontext();
    const auto seccomp = Annotation(pod, StrCat(kSeccompContainer, container.name()));
    if (seccomp && own.has_seccompprofile()) {
      CheckSame(*seccomp, own.seccompprofile(), seccomp_defaults, "seccomp", "seccomp",
                at.Child("securityContext").Child("seccompProfile"), errors);
    }
    const auto armor = Annotation(pod, StrCat(kAppArmor, container.name()));
    const bool windows = pod.spec().os().name() == "windows";
    if (!armor || windows || (!own.has_apparmorprofile() && !context.has_apparmorprofile())) return;
    CheckSame(*armor, own.has_apparmorprofile() ? own.apparmorprofile() : context.apparmorprofile(),
              {"runtime/default"}, "apparmor", "apparmor",
              at.Child("securityContext").Child("appArmorProfile"), errors);
  });
}

void CheckHostUsers(const v1::PodSpec& pod, const FieldPath& spec, FieldErrors* errors) {
  if (!pod.has_hostusers() || pod.hostusers()) return;
  constexpr std::string_view when = "when `hostUsers` is false";
  if (pod.hostnetwork()) errors->Forbidden(spec.Child("hostNetwork"), when);
  if (pod.hostpid()) errors->Forbidden(spec.Child("HostPID"), when);
  if (pod.hostipc()) errors->Forbidden(spec.Child("HostIPC"), when);
  ForEachContainer(pod, spec, [&](const v1::Container& container, const FieldPath& at) {
    if (!container.volumedevices().empty()) errors->Forbidden(at.Child("volumeDevices"), when);
  });
}

void CheckOs(const v1::PodSpec& pod, const FieldPath& spec, FieldErrors* errors) {
  if (!pod.has_os()) return;
  if (pod.os().name().empty()) return errors->Required(spec.Child("os").Child("name"));
  if (pod.os().name() == "windows") return CheckWindows(pod, spec, errors);
  if (pod.os().name() != "linux") {
    return errors->NotSupported(spec.Child("os"), pod.os().name(), {"linux", "windows"});
  }
  const auto forbid = [&](bool present, const FieldPath& path) {
    if (!present) return;
    errors->Forbidden(path.Child("windowsOptions"),
                      "windows options cannot be set for a linux pod");
  };
  forbid(pod.securitycontext().has_windowsoptions(), spec.Child("securityContext"));
  ForEachContainer(pod, spec, [&](const v1::Container& container, const FieldPath& at) {
    forbid(container.securitycontext().has_windowsoptions(), at.Child("securityContext"));
  });
}

}  // namespace keelson::kubelet::sources
