// SPDX-License-Identifier: Apache-2.0
#include "cri/credential_provider_config.h"

#include <sys/stat.h>

#include <set>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/strings.h"
#include "cri/credentials.h"
#include "proto/codec/codec.h"
#include "proto/k8s/credential_provider.pb.h"

namespace keelson::cri {

using base::StrCat;
namespace api = ::k8s::kubelet::v1beta1;

namespace {

constexpr std::string_view kGroup = "credentialprovider.kubelet.k8s.io/";
constexpr size_t kMostBytes = 10 << 20;  // of a configuration file

bool IsVersion(std::string_view version) {
  return version == "v1" || version == "v1beta1" || version == "v1alpha1";
}

bool IsApiVersion(std::string_view text) {
  return text.starts_with(kGroup) && IsVersion(text.substr(kGroup.size()));
}

void CheckToken(const api::CredentialProvider& provider, std::vector<std::string>* problems) {
  const auto& token = provider.tokenattributes();
  const auto problem = [&](const std::string& field, const std::string& text) {
    problems->push_back(StrCat("providers.tokenAttributes", field, ": ", text));
  };
  if (token.serviceaccounttokenaudience().empty())
    problem(".serviceAccountTokenAudience", "Required value");
  if (!token.has_requireserviceaccount()) problem(".requireServiceAccount", "Required value");
  if (provider.apiversion() != StrCat(kGroup, "v1"))
    problem("", StrCat("Forbidden: tokenAttributes is only supported for ", kGroup,
                       "v1 API version"));
  const auto& required = token.requiredserviceaccountannotationkeys();
  if (token.has_requireserviceaccount() && !token.requireserviceaccount() && !required.empty())
    problem(".requiredServiceAccountAnnotationKeys",
            "Forbidden: requireServiceAccount cannot be false when "
            "requiredServiceAccountAnnotationKeys is set");
  std::set<std::string> keys;
  for (const auto* list : {&required, &token.optionalserviceaccountannotationkeys()})
    for (const std::string& key : *list)
      if (!keys.insert(key).second)
        problem("", StrCat("Invalid value: \"", key,
                           "\": annotation keys cannot be both required and optional, or twice"));
  if (token.cachetype() != "ServiceAccount" && token.cachetype() != "Token")
    problem(".cacheType", StrCat("Unsupported value: \"", token.cachetype(),
                                 "\": supported values: \"ServiceAccount\", \"Token\""));
}

void CheckProvider(const api::CredentialProvider& provider, std::vector<std::string>* problems) {
  const std::string& name = provider.name();
  const auto problem = [&](const std::string& field, const std::string& text) {
    problems->push_back(StrCat("providers.", field, ": ", text));
  };
  if (name.empty() || name == "." || name == ".." ||
      name.find_first_of(std::string_view("/ \0", 3)) != name.npos)
    problem("name", StrCat("Invalid value: \"", name,
                           "\": provider name cannot be empty, '.' or '..', nor contain '/' or "
                           "spaces"));
  if (!IsApiVersion(provider.apiversion()))
    problem("apiVersion", StrCat("Unsupported value: \"", provider.apiversion(),
                                 "\": supported values: \"", kGroup, "v1\", \"", kGroup,
                                 "v1alpha1\", \"", kGroup, "v1beta1\""));
  if (provider.matchimages().empty())
    problem("matchImages", "Required value: at least 1 item in matchImages is required");
  for (const std::string& pattern : provider.matchimages())
    if (!IsImagePattern(pattern))
      problem("matchImages", StrCat("Invalid value: \"", pattern, "\": match image is invalid"));
  if (!provider.has_defaultcacheduration())
    problem("defaultCacheDuration", "Required value");
  else if (provider.defaultcacheduration().duration() < 0)
    problem("defaultCacheDuration", "Invalid value: must be greater than or equal to 0");
  if (provider.has_tokenattributes()) CheckToken(provider, problems);
}

absl::StatusOr<api::CredentialProviderConfig> LoadFile(const std::string& path) {
  auto text = base::ReadFile(path, kMostBytes);
  RETURN_IF_ERROR(text.status());
  auto type = proto::PeekTypeMeta(*text);
  RETURN_IF_ERROR(type.status());
  constexpr std::string_view kConfigGroup = "kubelet.config.k8s.io/";
  if (type->kind != "CredentialProviderConfig" || !type->api_version.starts_with(kConfigGroup) ||
      !IsVersion(std::string_view(type->api_version).substr(kConfigGroup.size())))
    return absl::InvalidArgumentError(
        StrCat(path, ": expected a CredentialProviderConfig of ", kConfigGroup, "v1, found kind \"",
               type->kind, "\" of \"", type->api_version, "\""));
  proto::DecodeOptions strict;
  strict.strict = true;
  strict.source = path;
  api::CredentialProviderConfig config;
  RETURN_IF_ERROR(proto::DecodeYaml(*text, &config, strict));
  return config;
}

}  // namespace

absl::StatusOr<api::CredentialProviderConfig> LoadProviders(const std::string& path) {
  struct stat found {};
  if (::stat(path.c_str(), &found) < 0)
    return base::Annotate(base::ErrnoStatus("open", path), "credential provider config");
  std::vector<std::string> files = {path};
  if (S_ISDIR(found.st_mode)) {
    auto names = base::ListDir(path);
    RETURN_IF_ERROR(names.status());
    files.clear();
    for (const std::string& name : *names)
      if (name.ends_with(".json") || name.ends_with(".yaml") || name.ends_with(".yml"))
        files.push_back(base::JoinPath(path, name));
    if (files.empty())
      return absl::InvalidArgumentError(
          StrCat("no configuration files (*.json, *.yaml, *.yml) found in directory ", path));
  }
  api::CredentialProviderConfig all;
  for (const std::string& file : files) {
    auto one = LoadFile(file);
    RETURN_IF_ERROR(base::Annotate(one.status(), "credential provider config"));
    all.MergeFrom(*one);
  }
  return all;
}

std::vector<std::string> CheckProviders(const api::CredentialProviderConfig& config) {
  std::vector<std::string> problems;
  if (config.providers().empty())
    problems.push_back("providers: Required value: at least 1 item in plugins is required");
  std::set<std::string> names;
  for (const auto& provider : config.providers()) {
    CheckProvider(provider, &problems);
    if (!names.insert(provider.name()).second)
      problems.push_back(StrCat("providers.name: Duplicate value: \"", provider.name(), "\""));
  }
  return problems;
}

}  // namespace keelson::cri
