// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/strings.h"
#include "kubelet/options/flags.h"
#include "kubelet/options/parts.h"
#include "proto/codec/codec.h"

namespace keelson::kubelet {

using base::StrCat;
using proto::Value;

namespace {

constexpr int kMaxDepth = 32;  // of directories below --config-dir
constexpr std::string_view kLegacy =
    "authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}\n"
    "authorization: {mode: AlwaysAllow}\n"
    "readOnlyPort: 10255\n";
constexpr const char* kPathFields[] = {
    "staticPodPath", "authentication.x509.clientCAFile", "tlsCertFile", "tlsPrivateKeyFile",
    "resolvConf",    "volumePluginDir",                  "podLogsDir"};

absl::Status Explain(const absl::Status& status, std::string_view what, const std::string& path) {
  return absl::Status(status.code(),
                      base::ToAbsl(StrCat("failed to load ", what, " ", path, ": ",
                                          base::Message(status))));
}

absl::StatusOr<Value> ReadOne(const std::string& path, std::vector<std::string>* warnings) {
  auto text = base::ReadFile(path, 10 << 20);
  if (!text.ok()) return text.status();
  proto::DecodeOptions lenient;
  lenient.source = path;
  std::vector<proto::DecodeWarning> skipped;
  auto tree = proto::ParseTree(*text, lenient, &skipped);
  if (!tree.ok()) return tree.status();
  auto type = proto::TypeMetaOf(*tree);
  if (!type.ok()) return type.status();
  if (type->api_version != "kubelet.config.k8s.io/v1beta1" || type->kind != "KubeletConfiguration")
    return absl::InvalidArgumentError(
        StrCat("it must carry apiVersion kubelet.config.k8s.io/v1beta1 and kind "
               "KubeletConfiguration, and has apiVersion \"", type->api_version, "\" and kind \"",
               type->kind, "\""));
  // Decoded alone so that messages have this file's name and lines.
  Configuration checked;
  RETURN_IF_ERROR(proto::DecodeTree(*tree, &checked, lenient, &skipped));
  for (const proto::DecodeWarning& w : skipped)
    warnings->push_back(StrCat(path, ":", w.line, ": ", w.path, ": ", w.message, "; read past"));
  return tree;
}

void ResolvePaths(const std::string& dir, Value* tree) {
  for (const char* field : kPathFields) {
    const Value* found = Lookup(*tree, field);
    if (found == nullptr || found->kind != Value::Kind::kString || found->text.empty()) continue;
    if (found->text[0] != '/') Slot(*tree, field).text = base::JoinPath(dir, found->text);
  }
}

// Regular files called *.conf below `dir`, in lexical order of the walk.
absl::Status FindDropIns(const std::string& dir, int depth, std::vector<std::string>* found) {
  if (depth > kMaxDepth) return absl::ResourceExhaustedError(StrCat(dir, " is nested too deeply"));
  auto names = base::ListDir(dir);
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    std::string path = base::JoinPath(dir, name);
    struct stat st {};
    if (::lstat(path.c_str(), &st) < 0) return base::ErrnoStatus("stat", path);
    if (S_ISDIR(st.st_mode)) RETURN_IF_ERROR(FindDropIns(path, depth + 1, found));
    else if (name.ends_with(".conf")) found->push_back(path);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Value> ReadConfigFiles(const std::string& config, const std::string& config_dir,
                                      std::vector<std::string>* warnings) {
  Value merged = Value::Map();
  if (!config.empty()) {
    auto tree = ReadOne(config, warnings);
    if (!tree.ok()) return Explain(tree.status(), "kubelet config file", config);
    size_t slash = config.find_last_of('/');
    ResolvePaths(slash == 0 ? "/" : config.substr(0, slash), &*tree);
    merged = std::move(*tree);
  }
  if (config_dir.empty()) return merged;
  if (config.empty()) {  // drop-ins without a file lie over what holds without a file
    auto legacy = proto::ParseTree(kLegacy, {});
    if (!legacy.ok()) return legacy.status();
    merged = std::move(*legacy);
  }
  std::vector<std::string> paths;
  absl::Status walked = FindDropIns(config_dir, 0, &paths);
  if (!walked.ok()) return Explain(walked, "drop-in directory", config_dir);
  for (const std::string& path : paths) {
    auto patch = ReadOne(path, warnings);
    if (!patch.ok()) return Explain(patch.status(), "drop-in", path);
    proto::MergePatch(*patch, &merged);
  }
  return merged;
}

}  // namespace keelson::kubelet
