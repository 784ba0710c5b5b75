// SPDX-License-Identifier: Apache-2.0
#include "base/strings.h"
#include "kubelet/sources/checks.h"

namespace keelson::kubelet::sources {
namespace {

using base::StrCat;

void CheckPorts(const v1::Container& container, const FieldPath& ports, FieldErrors* errors) {
  std::set<std::string> names;
  for (int i = 0; i < container.ports_size(); ++i) {
    const auto& port = container.ports(i);
    const FieldPath path = ports.Index(i);
    if (!port.name().empty()) {
      const Complaints complaints = PortName(port.name());
      errors->InvalidAll(path.Child("name"), port.name(), complaints);
      if (complaints.empty() && !names.insert(port.name()).second) {
        errors->Duplicate(path.Child("name"), port.name());
      }
    }
    const auto number = [&](int value, std::string_view field) {
      for (const auto& text : PortNumber(value)) errors->Invalid(path.Child(field), value, text);
    };
    if (port.containerport() == 0) {
      errors->Required(path.Child("containerPort"));
    } else {
      number(port.containerport(), "containerPort");
    }
    if (port.hostport() != 0) number(port.hostport(), "hostPort");
    CheckEnum(port.protocol(), {"SCTP", "TCP", "UDP"}, path.Child("protocol"), errors);
  }
}

// Adds the host ports of a container to `taken`.
void CheckHostPorts(const v1::Container& container, const FieldPath& at,
                    std::set<std::string>* taken, FieldErrors* errors) {
  for (int i = 0; i < container.ports_size(); ++i) {
    const auto& port = container.ports(i);
    if (port.hostport() == 0) continue;
    const std::string key = StrCat(port.protocol(), "/", port.hostip(), "/", port.hostport());
    if (!taken->insert(key).second) {
      errors->Duplicate(at.Child("ports").Index(i).Child("hostPort"), key);
    }
  }
}

template <typename Selector>
void CheckKeySelector(const Selector& selector, const FieldPath& path, FieldErrors* errors) {
  CheckSubdomain(selector.localobjectreference().name(), path.Child("name"), errors);
  if (selector.key().empty()) {
    errors->Required(path.Child("key"));
  } else {
    errors->InvalidAll(path.Child("key"), selector.key(), ConfigMapKey(selector.key()));
  }
}

void CheckFileKey(const v1::FileKeySelector& file, const FieldPath& path, FieldErrors* errors) {
  if (file.key().empty()) {
    errors->Required(path.Child("key"));
  } else {
    errors->InvalidAll(path.Child("key"), file.key(), EnvVarName(file.key()));
  }
  if (file.volumename().empty()) {
    errors->Required(path.Child("volumeName"));
  } else {
    CheckLabel(file.volumename(), path.Child("volumeName"), errors);
  }
  if (file.path().empty()) {
    errors->Required(path.Child("path"));
  } else {
    CheckNoBacksteps(file.path(), path.Child("path"), errors);
  }
}

void CheckValueFrom(const v1::EnvVar& env, const FieldPath& path, FieldErrors* errors) {
  if (!env.has_valuefrom()) return;
  const auto& from = env.valuefrom();
  int sources = 0;
  if (from.has_fieldref()) {
    ++sources;
    CheckFieldRef(from.fieldref(), false, path.Child("fieldRef"), errors);
  }
  if (from.has_resourcefieldref()) {
    ++sources;
    CheckResourceRef(from.resourcefieldref(), false, path.Child("resourceFieldRef"), errors);
  }
  if (from.has_configmapkeyref()) {
    ++sources;
    CheckKeySelector(from.configmapkeyref(), path.Child("configMapKeyRef"), errors);
  }
  if (from.has_secretkeyref()) {
    ++sources;
    CheckKeySelector(from.secretkeyref(), path.Child("secretKeyRef"), errors);
  }
  if (from.has_filekeyref()) {
    ++sources;
    CheckFileKey(from.filekeyref(), path.Child("fileKeyRef"), errors);
  }
  if (sources == 0) {
    errors->Invalid(path, "",
                    "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, "
                    "`secretKeyRef` or `fileKeyRef`");
  } else if (!env.value().empty()) {
    errors->Invalid(path, "", "may not be specified when `value` is not empty");
  } else if (sources > 1) {
    errors->Invalid(path, "", "may not have more than one field specified at a time");
  }
}

void CheckEnv(const v1::Container& container, const FieldPath& at, FieldErrors* errors) {
  for (int i = 0; i < container.env_size(); ++i) {
    const auto& env = container.env(i);
    const FieldPath path = at.Child("env").Index(i);
    if (env.name().empty()) {
      errors->Required(path.Child("name"));
    } else {
      errors->InvalidAll(path.Child("name"), env.name(), EnvVarName(env.name()));
    }
    CheckValueFrom(env, path.Child("valueFrom"), errors);
  }
  const FieldPath all = at.Child("envFrom");
  for (int i = 0; i < container.envfrom_size(); ++i) {
    const auto& from = container.envfrom(i);
    const FieldPath path = all.Index(i);
    if (!from.prefix().empty()) {
      errors->InvalidAll(path.Child("prefix"), from.prefix(), EnvVarName(from.prefix()));
    }
    const auto name = [&](bool present, const std::string& value, std::string_view field) {
      if (!present) return 0;
      const FieldPath where = path.Child(field).Child("name");
      if (value.empty()) {
        errors->Required(where);
      } else {
        CheckSubdomain(value, where, errors);
      }
      return 1;
    };
    const int sources =
        name(from.has_configmapref(), from.configmapref().localobjectreference().name(),
             "configMapRef") +
        name(from.has_secretref(), from.secretref().localobjectreference().name(), "secretRef");
    if (sources == 0) {
      errors->Invalid(all, "", "must specify one of: `configMapRef` or `secretRef`");
    } else if (sources > 1) {
      errors->Invalid(all, "", "may not have more than one field specified at a time");
    }
  }
}

void CheckRecursiveReadOnly(const v1::VolumeMount& mount, const FieldPath& path,
                            FieldErrors* errors) {
  if (!mount.has_recursivereadonly() || mount.recursivereadonly() == "Disabled") return;
  if (!OneOf(mount.recursivereadonly(), {"Enabled", "IfPossible"})) {
    return errors->NotSupported(path, mount.recursivereadonly(),
                                {"Disabled", "Enabled", "IfPossible"});
  }
  if (!mount.readonly()) errors->Forbidden(path, "may only be specified when readOnly is true");
  if (mount.has_mountpropagation() && mount.mountpropagation() != "None") {
    errors->Forbidden(path, "may only be specified when mountPropagation is None or not specified");
  }
}

void CheckPropagation(const v1::VolumeMount& mount, bool privileged, const FieldPath& path,
                      FieldErrors* errors) {
  if (!mount.has_mountpropagation()) return;
  if (!OneOf(mount.mountpropagation(), {"Bidirectional", "HostToContainer", "None"})) {
    errors->NotSupported(path, mount.mountpropagation(),
                         {"Bidirectional", "HostToContainer", "None"});
  }
  if (mount.mountpropagation() == "Bidirectional" && !privileged) {
    errors->Forbidden(path,
                      "Bidirectional mount propagation is available only to privileged containers");
  }
}

// Paths below name the list and not the entry for subPath and the like, as upstream's do.
void CheckMounts(const v1::Container& container, const PodFacts& pod, const FieldPath& mounts,
                 FieldErrors* errors) {
  std::map<std::string, std::string> devices;
  std::set<std::string> device_paths, taken;
  for (const auto& device : container.volumedevices()) {
    devices[device.name()] = device.devicepath();
    device_paths.insert(device.devicepath());
  }
  for (int i = 0; i < container.volumemounts_size(); ++i) {
    const auto& mount = container.volumemounts(i);
    const FieldPath path = mounts.Index(i);
    if (mount.name().empty()) errors->Required(path.Child("name"));
    if (!pod.volumes.contains(mount.name())) errors->NotFound(path.Child("name"), mount.name());
    if (mount.mountpath().empty()) errors->Required(path.Child("mountPath"));
    if (!taken.insert(mount.mountpath()).second) {
      errors->Invalid(path.Child("mountPath"), mount.mountpath(), "must be unique");
    }
    if (devices.contains(mount.name())) {
      errors->Invalid(path.Child("name"), mount.name(), "must not already exist in volumeDevices");
    }
    if (device_paths.contains(mount.mountpath())) {
      errors->Invalid(path.Child("mountPath"), mount.mountpath(),
                      "must not already exist as a path in volumeDevices");
    }
    if (!mount.subpath().empty()) {
      CheckDescending(mount.subpath(), mounts.Child("subPath"), errors);
    }
    if (!mount.subpathexpr().empty()) {
      if (!mount.subpath().empty()) {
        errors->Invalid(path.Child("subPathExpr"), mount.subpathexpr(),
                        "subPathExpr and subPath are mutually exclusive");
      }
      CheckDescending(mount.subpathexpr(), mounts.Child("subPathExpr"), errors);
    }
    CheckPropagation(mount, container.securitycontext().privileged(),
                     mounts.Child("mountPropagation"), errors);
    CheckRecursiveReadOnly(mount, mounts.Child("recursiveReadOnly"), errors);
  }
}

void CheckDevices(const v1::Container& container, const PodFacts& pod, const FieldPath& devices,
                  FieldErrors* errors) {
  std::set<std::string> mount_names, mount_paths, names, paths;
  for (const auto& mount : container.volumemounts()) {
    mount_names.insert(mount.name());
    mount_paths.insert(mount.mountpath());
  }
  for (int i = 0; i < container.volumedevices_size(); ++i) {
    const auto& device = container.volumedevices(i);
    const FieldPath name = devices.Index(i).Child("name");
    const FieldPath path = devices.Index(i).Child("devicePath");
    const auto volume = pod.volumes.find(device.name());
    if (device.name().empty()) errors->Required(name);
    if (names.contains(device.name())) errors->Invalid(name, device.name(), "must be unique");
    if (volume == pod.volumes.end()) {
      errors->NotFound(name, device.name());
    } else if (!volume->second->has_persistentvolumeclaim() && !volume->second->has_ephemeral()) {
      errors->Invalid(name, device.name(),
                      "can only use volume source type of PersistentVolumeClaim or Ephemeral for "
                      "block mode");
    }
    if (device.devicepath().empty()) errors->Required(path);
    if (paths.contains(device.devicepath())) {
      errors->Invalid(path, device.devicepath(), "must be unique");
    }
    FieldErrors backsteps;
    CheckNoBacksteps(device.devicepath(), path, &backsteps);
    if (!backsteps.empty()) {
      errors->Invalid(path, device.devicepath(), "can not contain backsteps ('..')");
    } else {
      paths.insert(device.devicepath());
    }
    if (mount_names.contains(device.name())) {
      errors->Invalid(name, device.name(), "must not already exist in volumeMounts");
    }
    if (mount_paths.contains(device.devicepath())) {
      errors->Invalid(path, device.devicepath(),
                      "must not already exist as a path in volumeMounts");
    }
    if (!device.name().empty()) names.insert(device.name());
  }
}

void CheckResizePolicy(const v1::Container& container, const PodFacts& pod, const FieldPath& path,
                       FieldErrors* errors) {
  std::set<std::string> resources;
  for (int i = 0; i < container.resizepolicy_size(); ++i) {
    const auto& policy = container.resizepolicy(i);
    if (!resources.insert(policy.resourcename()).second) {
      errors->Duplicate(path.Index(i), policy.resourcename());
    }
    CheckEnum(policy.resourcename(), {"cpu", "memory"}, path, errors);
    CheckEnum(policy.restartpolicy(), {"NotRequired", "RestartContainer"}, path, errors);
    if (pod.spec->restartpolicy() == "Never" && policy.restartpolicy() != "NotRequired") {
      errors->Invalid(path, policy.restartpolicy(),
                      "must be 'NotRequired' when pod `restartPolicy` is 'Never'");
    }
  }
}

// KEP-5307 and KEP-5532.
void CheckRestartRules(const v1::Container& container, const FieldPath& path,
                       FieldErrors* errors) {
  const auto& rules = container.restartpolicyrules();
  if (!container.has_restartpolicy()) {
    if (rules.empty()) return;
    errors->Required(path.Child("restartPolicy"),
                     "must specify restartPolicy when restart rules are used");
  } else if (!OneOf(container.restartpolicy(), {"Always", "Never", "OnFailure"})) {
    errors->NotSupported(path.Child("restartPolicy"), container.restartpolicy(),
                         {"Always", "Never", "OnFailure"});
  }
  const FieldPath all = path.Child("restartPolicyRules");
  if (rules.size() > 20) errors->TooMany(all, rules.size(), 20);
  for (int i = 0; i < rules.size(); ++i) {
    const auto& rule = rules[i];
    if (!OneOf(rule.action(), {"Restart", "RestartAllContainers"})) {
      errors->NotSupported(all.Index(i).Child("action"), rule.action(),
                           {"Restart", "RestartAllContainers"});
    }
    const FieldPath codes = all.Index(i).Child("exitCodes");
    if (!rule.has_exitcodes()) {
      errors->Required(codes, "must be specified");
      continue;
    }
    if (!OneOf(rule.exitcodes().operator_(), {"In", "NotIn"})) {
      errors->NotSupported(codes.Child("operator"), rule.exitcodes().operator_(), {"In", "NotIn"});
    }
    if (rule.exitcodes().values_size() > 255) {
      errors->TooMany(codes.Child("values"), rule.exitcodes().values_size(), 255);
    }
  }
}

// What all kinds of containers have in common.
void CheckCommon(const v1::Container& container, const PodFacts& pod, const FieldPath& path,
                 FieldErrors* errors) {
  if (container.name().empty()) {
    errors->Required(path.Child("name"));
  } else {
    CheckLabel(container.name(), path.Child("name"), errors);
  }
  if (container.image().empty()) {
    errors->Required(path.Child("image"));
  } else if (container.image().find_first_not_of(" \t\n\v\f\r") != 0 ||
             container.image().find_last_not_of(" \t\n\v\f\r") + 1 != container.image().size()) {
    errors->Invalid(path.Child("image"), container.image(),
                    "must not have leading or trailing whitespace");
  }
  CheckEnum(container.terminationmessagepolicy(), {"File", "FallbackToLogsOnError"},
            path.Child("terminationMessagePolicy"), errors);
  CheckPorts(container, path.Child("ports"), errors);
  CheckEnv(container, path, errors);
  CheckMounts(container, pod, path.Child("volumeMounts"), errors);
  CheckDevices(container, pod, path.Child("volumeDevices"), errors);
  CheckEnum(container.imagepullpolicy(), {"Always", "IfNotPresent", "Never"},
            path.Child("imagePullPolicy"), errors);
  CheckContainerResources(container.resources(), pod.claims, path.Child("resources"), errors);
  CheckResizePolicy(container, pod, path.Child("resizePolicy"), errors);
  CheckSecurityContext(container, pod.host_users, path.Child("securityContext"), errors);
}

// A plain init container ends by itself; nothing may probe it or hook into it.
void CheckPlainInit(const v1::Container& container, const FieldPath& path, FieldErrors* errors) {
  const auto forbid = [&](bool present, std::string_view field) {
    if (!present) return;
    errors->Forbidden(path.Child(field),
                      "may not be set for init containers without restartPolicy=Always");
  };
  forbid(container.has_lifecycle(), "lifecycle");
  forbid(container.has_livenessprobe(), "livenessProbe");
  forbid(container.has_readinessprobe(), "readinessProbe");
  forbid(container.has_startupprobe(), "startupProbe");
  for (int i = 0; i < container.resizepolicy_size(); ++i) {
    if (container.resizepolicy(i).restartpolicy() != "RestartContainer") continue;
    errors->Invalid(path.Child("resizePolicy").Index(i).Child("restartPolicy"), "RestartContainer",
                    "must not be set to 'RestartContainer' for non-sidecar initContainers");
  }
}

}  // namespace

void CheckContainers(const PodFacts& pod, const FieldPath& spec, FieldErrors* errors) {
  const FieldPath all = spec.Child("containers");
  if (pod.spec->containers().empty()) return errors->Required(all);
  std::set<std::string> names, host_ports;
  for (int i = 0; i < pod.spec->containers_size(); ++i) {
    const auto& container = pod.spec->containers(i);
    const FieldPath path = all.Index(i);
    CheckCommon(container, pod, path, errors);
    if (!names.insert(container.name()).second) {
      errors->Duplicate(path.Child("name"), container.name());
    }
    CheckLifecycle(container, pod, path.Child("lifecycle"), errors);
    CheckProbes(container, pod, path, errors);
    CheckRestartRules(container, path, errors);
  }
  for (int i = 0; i < pod.spec->containers_size(); ++i) {
    CheckHostPorts(pod.spec->containers(i), all.Index(i), &host_ports, errors);
  }
}

void CheckInitContainers(const PodFacts& pod, const FieldPath& spec, FieldErrors* errors) {
  const FieldPath all = spec.Child("initContainers");
  std::set<std::string> names;
  for (const auto& container : pod.spec->containers()) names.insert(container.name());
  for (int i = 0; i < pod.spec->initcontainers_size(); ++i) {
    const auto& container = pod.spec->initcontainers(i);
    const FieldPath path = all.Index(i);
    CheckCommon(container, pod, path, errors);
    CheckRestartRules(container, path, errors);
    if (!container.name().empty() && !names.insert(container.name()).second) {
      errors->Duplicate(path.Child("name"), container.name());
    }
    std::set<std::string> own_ports;  // init containers run one after another
    CheckHostPorts(container, path, &own_ports, errors);
    if (IsSidecar(container)) {
      CheckLifecycle(container, pod, path.Child("lifecycle"), errors);
      CheckProbes(container, pod, path, errors);
    } else {
      CheckPlainInit(container, path, errors);
    }
  }
}

}  // namespace keelson::kubelet::sources
