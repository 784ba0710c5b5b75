// SPDX-License-Identifier: Apache-2.0
#include "kubelet/environment_facts.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <set>
#include <utility>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "cri/env_file.h"
#include "cri/service_environment.h"
#include "proto/k8s/objects.pb.h"

namespace keelson::kubelet {

using base::StrCat;
using base::Task;

namespace {

constexpr size_t kMaxEnvFile = 1 << 20;

struct Names {
  std::set<std::string> config_maps, secrets;
  std::map<std::string, const v1::FileKeySelector*> files;
};

Names NamesIn(const v1::Container& container) {
  Names names;
  for (const auto& from : container.envfrom()) {
    if (from.has_configmapref())
      names.config_maps.insert(from.configmapref().localobjectreference().name());
    if (from.has_secretref()) names.secrets.insert(from.secretref().localobjectreference().name());
  }
  for (const auto& var : container.env()) {
    const auto& from = var.valuefrom();
    if (from.has_configmapkeyref())
      names.config_maps.insert(from.configmapkeyref().localobjectreference().name());
    if (from.has_secretkeyref())
      names.secrets.insert(from.secretkeyref().localobjectreference().name());
    if (from.has_filekeyref()) names.files[FileKeyId(from.filekeyref())] = &from.filekeyref();
  }
  return names;
}

// A file that a container wrote: any link it made ends inside its volume, and a pipe holds up nobody.
absl::StatusOr<std::string> ReadInVolume(const std::string& volume, const std::string& path) {
  auto root = base::OpenDir(volume);
  if (!root.ok()) return root.status();
  auto file = base::OpenInRoot(root->get(), path, O_RDONLY | O_NONBLOCK);
  if (!file.ok()) return file.status();
  struct stat st {};
  if (::fstat(file->get(), &st) < 0) return base::ErrnoStatus("stat", path);
  if (!S_ISREG(st.st_mode)) return absl::InvalidArgumentError(path + " is not a file");
  return base::ReadFd(file->get(), kMaxEnvFile, path);
}

absl::StatusOr<std::string> FileKey(const std::string& volume, const std::string& path,
                                    const std::string& key) {
  auto text = ReadInVolume(volume, path);
  auto value = text.ok() ? cri::EnvFileValue(*text, key) : text;
  if (!value.ok()) {
    KLOG_WARNING("Cannot use a file of environment variables", {"volume", volume}, {"path", path},
                 {"err", value.status()});
    return absl::FailedPreconditionError("couldn't parse env file");
  }
  if (!value->empty()) return value;
  return absl::NotFoundError(StrCat("environment variable key \"", key, "\" not found in file \"",
                                    base::JoinPath(volume, path), "\""));
}

Task<absl::StatusOr<std::string>> FetchFileKey(base::Loop& loop,
                                               const v1::FileKeySelector* selector,
                                               const csi::MountedVolume* volume) {
  if (!volume)
    co_return absl::FailedPreconditionError(
        StrCat("cannot find the volume \"", selector->volumename(), "\" referenced by FileKeyRef"));
  auto read = [host = volume->host_path, path = selector->path(), key = selector->key()] {
    return FileKey(host, path, key);
  };
  co_return co_await base::RunBlocking(loop, std::move(read));
}

Task<absl::Status> FetchServices(csi::ObjectSource* objects, PodPtr pod, cri::StringMap* env) {
  std::string ns = pod->metadata().namespace_();
  // A static pod may be what the API server runs in.
  auto services = co_await objects->Services(ns, !IsStaticPod(*pod));
  if (!services.ok()) co_return services.status();
  *env = cri::ServiceEnvironment(*services, ns, pod->spec().enableservicelinks());
  co_return absl::OkStatus();
}

Task<absl::StatusOr<cri::StringMap>> FetchConfigMap(csi::ObjectSource* objects, std::string ns,
                                                    std::string name) {
  auto object = co_await objects->ConfigMap(std::move(ns), std::move(name));
  if (!object.ok()) co_return object.status();
  co_return cri::StringMap((*object)->data().begin(), (*object)->data().end());
}

Task<absl::StatusOr<cri::StringMap>> FetchSecret(csi::ObjectSource* objects, std::string ns,
                                                 std::string name) {
  auto object = co_await objects->Secret(std::move(ns), std::move(name));
  if (!object.ok()) co_return object.status();
  co_return cri::StringMap((*object)->data().begin(), (*object)->data().end());
}

absl::StatusOr<cri::StringMap> Find(const EnvironmentFacts::Objects& objects,
                                    const std::string& name) {
  const auto found = objects.find(name);
  if (found == objects.end()) return absl::InternalError(StrCat(name, " was not fetched"));
  return found->second;
}

}  // namespace

std::string FileKeyId(const v1::FileKeySelector& selector) {
  return StrCat(selector.volumename(), "\n", selector.path(), "\n", selector.key());
}

cri::EnvironmentContext ContextOf(const EnvironmentFacts& facts) {
  cri::EnvironmentContext context;
  context.service_env = facts.service_env;
  if (facts.has_api) {
    context.config_map = [&facts](const auto& name) { return Find(facts.config_maps, name); };
    context.secret = [&facts](const auto& name) { return Find(facts.secrets, name); };
  }
  context.file_key = [&facts](const v1::FileKeySelector& selector) -> absl::StatusOr<std::string> {
    const auto found = facts.file_keys.find(FileKeyId(selector));
    if (found == facts.file_keys.end()) return absl::InternalError("the file was not read");
    return found->second;
  };
  return context;
}

Task<absl::StatusOr<EnvironmentFacts>> FetchEnvironment(
    base::Loop& loop, csi::ObjectSource* objects, PodPtr pod, const v1::Container* container,
    std::map<std::string, csi::MountedVolume> volumes) {
  EnvironmentFacts facts;
  const Names names = NamesIn(*container);
  for (const auto& [id, selector] : names.files) {
    const auto volume = volumes.find(selector->volumename());
    const csi::MountedVolume* mounted = volume == volumes.end() ? nullptr : &volume->second;
    auto value = co_await FetchFileKey(loop, selector, mounted);
    facts.file_keys.emplace(id, std::move(value));
  }
  if (!objects) co_return facts;
  facts.has_api = true;
  absl::Status services = co_await FetchServices(objects, pod, &facts.service_env);
  CO_RETURN_IF_ERROR(services);
  const std::string& ns = pod->metadata().namespace_();
  for (const auto& name : names.config_maps) {
    auto data = co_await FetchConfigMap(objects, ns, name);
    facts.config_maps.emplace(name, std::move(data));
  }
  for (const auto& name : names.secrets) {
    auto data = co_await FetchSecret(objects, ns, name);
    facts.secrets.emplace(name, std::move(data));
  }
  co_return facts;
}

}  // namespace keelson::kubelet
