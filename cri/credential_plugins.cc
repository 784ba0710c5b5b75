// SPDX-License-Identifier: Apache-2.0
#include "cri/credential_plugins.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/log.h"
#include "base/process.h"
#include "base/strings.h"
#include "cri/credential_provider_config.h"
#include "proto/codec/codec.h"
#include "proto/k8s/credential_provider.pb.h"

namespace keelson::cri {

using base::StrCat;
using base::Task;
namespace api = ::k8s::kubelet::v1beta1;

namespace {

constexpr base::Nanos kTimeout = std::chrono::minutes(1);
constexpr size_t kMostKept = 1000;  // answers of one plugin
constexpr size_t kMostWords = 300;  // of a plugin's stderr, for the log

std::string_view RegistryOf(std::string_view repository) {
  return repository.substr(0, repository.find('/'));
}

// Fields with their lengths, so that no two lists make one text.
std::string Joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) base::StrAppend(&text, part.size(), ":", part);
  return text;
}

}  // namespace

absl::StatusOr<PluginAnswer> ParsePluginAnswer(std::string_view json,
                                               const std::string& api_version) {
  auto type = proto::PeekTypeMeta(json);
  if (!type.ok()) return absl::InvalidArgumentError("its answer is no JSON");
  if (type->kind != "CredentialProviderResponse")
    return absl::InvalidArgumentError(
        "its answer is not of kind CredentialProviderResponse");
  if (type->api_version != api_version)
    return absl::InvalidArgumentError(
        StrCat("apiVersion from credential plugin response did not match expected apiVersion: ",
               api_version, ", actual apiVersion: ", type->api_version.substr(0, 100)));
  api::CredentialProviderResponse response;
  if (!proto::DecodeJson(json, &response, {}).ok())
    return absl::InvalidArgumentError("its answer is no CredentialProviderResponse");
  PluginAnswer answer;
  const std::string& key = response.cachekeytype();
  if (key == "Image") {
    answer.cache_key = PluginAnswer::CacheKey::kImage;
  } else if (key == "Registry") {
    answer.cache_key = PluginAnswer::CacheKey::kRegistry;
  } else if (key == "Global") {
    answer.cache_key = PluginAnswer::CacheKey::kGlobal;
  } else {
    return absl::InvalidArgumentError(
        StrCat("credential provider plugin did not return a valid cacheKeyType: ",
               key.substr(0, 100)));
  }
  if (response.has_cacheduration())
    answer.cache_duration = base::Nanos(response.cacheduration().duration());
  for (const auto& [pattern, auth] : response.auth()) {
    answer.auth[pattern].set_username(auth.username());
    answer.auth[pattern].set_password(auth.password());
  }
  return answer;
}

// What a plugin is asked, and what its answer is kept under.
struct CredentialPlugins::Question {
  std::string repository;
  std::string token;
  std::map<std::string, std::string> annotations;
  std::string account_key;  // empty: no service account plays a part
};

// A plugin that runs, and who waits for it.
struct CredentialPlugins::Flight {
  base::Wakeup changed;
  std::optional<absl::StatusOr<PluginAnswer>> answer;
  bool abandoned = false;
};

struct CredentialPlugins::Plugin {
  api::CredentialProvider config;
  std::string path;
  std::map<std::string, Kept> kept;
  std::map<std::string, std::shared_ptr<Flight>> flights;

  bool IsFor(const std::string& repository) const {
    return std::any_of(
        config.matchimages().begin(), config.matchimages().end(),
        [&](const std::string& pattern) { return MatchesImage(pattern, repository); });
  }
  base::ChildOptions Command(const std::string& request) const;
};

base::ChildOptions CredentialPlugins::Plugin::Command(const std::string& request) const {
  base::ChildOptions child;
  child.argv = {path};
  child.argv.insert(child.argv.end(), config.args().begin(), config.args().end());
  std::set<std::string_view> ours;
  for (const auto& variable : config.env()) {
    ours.insert(variable.name());
    child.env.push_back(StrCat(variable.name(), "=", variable.value()));
  }
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    if (!ours.contains(text.substr(0, text.find('=')))) child.env.emplace_back(text);
  }
  child.stdin_data = request;
  child.timeout = kTimeout;
  return child;
}

CredentialPlugins::~CredentialPlugins() = default;

CredentialPlugins::CredentialPlugins(base::Loop& loop, const std::string& bin_dir,
                                     api::CredentialProviderConfig config)
    : loop_(loop) {
  std::error_code error;
  const std::string dir = std::filesystem::absolute(bin_dir, error).string();
  for (auto& provider : *config.mutable_providers()) {
    auto plugin = std::make_unique<Plugin>();
    plugin->path = base::JoinPath(dir, provider.name());
    plugin->config = std::move(provider);
    plugins_.push_back(std::move(plugin));
  }
}

absl::StatusOr<std::unique_ptr<CredentialPlugins>> CredentialPlugins::Load(
    base::Loop& loop, const std::string& config_path, const std::string& bin_dir) {
  auto config = LoadProviders(config_path);
  RETURN_IF_ERROR(config.status());
  std::string problems;
  for (const std::string& problem : CheckProviders(*config))
    base::StrAppend(&problems, problems.empty() ? "" : "; ", problem);
  if (!problems.empty())
    return absl::InvalidArgumentError(
        StrCat("credential provider config ", config_path, ": ", problems));
  std::unique_ptr<CredentialPlugins> made(new CredentialPlugins(loop, bin_dir, *std::move(config)));
  for (const auto& plugin : made->plugins_)
    if (::access(plugin->path.c_str(), X_OK) < 0)
      return base::Annotate(base::ErrnoStatus("run", plugin->path),
                            "credential provider plugin (--image-credential-provider-bin-dir)");
  return made;
}

bool CredentialPlugins::uses_service_accounts() const {
  return std::any_of(plugins_.begin(), plugins_.end(),
                     [](const auto& plugin) { return plugin->config.has_tokenattributes(); });
}

Task<std::vector<rt::AuthConfig>> CredentialPlugins::Lookup(std::string repository, PullPod pod) {
  Keyring keyring;
  for (const auto& plugin : plugins_) {
    if (!plugin->IsFor(repository)) continue;
    auto answer = co_await Ask(*plugin, repository, pod);
    if (!answer.ok()) {
      KLOG_ERROR("Failed to provide credentials for image", {"provider", plugin->config.name()},
                 {"image", repository}, {"pod", StrCat(pod.ns, "/", pod.name)},
                 {"err", answer.status()});
      continue;
    }
    for (const auto& [pattern, auth] : answer->auth) keyring.Add(pattern, auth);
  }
  co_return keyring.Lookup(repository);
}

Task<absl::StatusOr<std::optional<CredentialPlugins::Question>>> CredentialPlugins::MakeQuestion(
    Plugin& plugin, std::string repository, PullPod pod) {
  Question question;
  question.repository = repository;
  if (!plugin.config.has_tokenattributes()) co_return std::optional(std::move(question));
  const auto& wanted = plugin.config.tokenattributes();
  if (pod.service_account.empty() || accounts_ == nullptr) {
    if (wanted.requireserviceaccount()) co_return std::nullopt;
    co_return std::optional(std::move(question));
  }
  auto account = co_await accounts_->Find(pod.ns, pod.service_account);
  if (!account.ok())
    co_return base::Annotate(account.status(), "failed to get service account");
  for (const std::string& key : wanted.requiredserviceaccountannotationkeys()) {
    // An account without it has not opted in.
    if (!account->annotations.contains(key)) co_return std::nullopt;
    question.annotations[key] = account->annotations[key];
  }
  for (const std::string& key : wanted.optionalserviceaccountannotationkeys())
    if (account->annotations.contains(key)) question.annotations[key] = account->annotations[key];
  auto token = co_await accounts_->Token(pod, wanted.serviceaccounttokenaudience());
  if (!token.ok())
    co_return base::Annotate(token.status(), "failed to get service account token");
  question.token = *std::move(token);
  std::vector<std::string> parts = {pod.ns, pod.service_account, account->uid};
  for (const auto& [key, value] : question.annotations) {
    parts.push_back(key);
    parts.push_back(value);
  }
  if (wanted.cachetype() == "Token") parts.push_back(question.token);
  question.account_key = Joined(parts);
  co_return std::optional(std::move(question));
}

const PluginAnswer* CredentialPlugins::Remembered(Plugin& plugin, const Question& question) {
  const base::MonoTime now = loop_.clock().Monotonic();
  // Angle brackets are in no name of an image.
  for (const std::string& base : {question.repository,
                                  std::string(RegistryOf(question.repository)),
                                  std::string("<global>")}) {
    auto it = plugin.kept.find(Joined({base, question.account_key}));
    if (it != plugin.kept.end() && now < it->second.until) return &it->second.answer;
  }
  return nullptr;
}

void CredentialPlugins::Remember(Plugin& plugin, const Question& question,
                                 const PluginAnswer& answer) {
  const base::Nanos life = answer.cache_duration.value_or(
      base::Nanos(plugin.config.defaultcacheduration().duration()));
  if (life.count() <= 0) return;
  const base::MonoTime now = loop_.clock().Monotonic();
  std::erase_if(plugin.kept, [&](const auto& kept) { return kept.second.until <= now; });
  if (plugin.kept.size() >= kMostKept) plugin.kept.clear();
  const std::string base =
      answer.cache_key == PluginAnswer::CacheKey::kImage ? question.repository
      : answer.cache_key == PluginAnswer::CacheKey::kRegistry
          ? std::string(RegistryOf(question.repository))
          : "<global>";
  plugin.kept[Joined({base, question.account_key})] = {answer, now + life};
}

Task<absl::StatusOr<PluginAnswer>> CredentialPlugins::Run(Plugin& plugin, Question question) {
  api::CredentialProviderRequest request;
  request.set_image(question.repository);
  if (!question.token.empty()) request.set_serviceaccounttoken(question.token);
  for (const auto& [key, value] : question.annotations)
    (*request.mutable_serviceaccountannotations())[key] = value;
  proto::EncodeOptions options;
  options.type = {plugin.config.apiversion(), "CredentialProviderRequest"};
  auto text = proto::EncodeJson(request, options);
  CO_RETURN_IF_ERROR(text.status());
  auto result = co_await base::RunChild(loop_, plugin.Command(*text));
  CO_RETURN_IF_ERROR(result.status());
  if (result->exit_code != 0)
    co_return absl::UnavailableError(StrCat("exit status ", result->exit_code, ": ",
                                            std::string_view(result->err).substr(0, kMostWords)));
  if (result->truncated) co_return absl::ResourceExhaustedError("its answer is longer than 1 MiB");
  auto answer = ParsePluginAnswer(result->out, plugin.config.apiversion());
  CO_RETURN_IF_ERROR(answer.status());
  const bool echo = !question.token.empty() &&
                    std::any_of(answer->auth.begin(), answer->auth.end(), [&](const auto& entry) {
                      return entry.second.password() == question.token;
                    });
  // Kept for the account, it would outlive the pod the token is bound to.
  if (echo && plugin.config.tokenattributes().cachetype() != "Token")
    co_return absl::InvalidArgumentError(
        "credential provider plugin returned the service account token as the password which is "
        "not allowed when service account cache type is not set to 'Token'");
  co_return answer;
}

Task<absl::StatusOr<PluginAnswer>> CredentialPlugins::Ask(Plugin& plugin, std::string repository,
                                                          PullPod pod) {
  auto made = co_await MakeQuestion(plugin, std::move(repository), std::move(pod));
  CO_RETURN_IF_ERROR(made.status());
  if (!*made) co_return PluginAnswer();
  const Question question = **std::move(made);
  const std::string key = Joined({question.repository, question.account_key, question.token});
  // Ends the flight however we leave; who still waits then takes over.
  struct Landing {
    Plugin& plugin;
    const std::string& key;
    std::shared_ptr<Flight> flight;
    ~Landing() {
      flight->abandoned = !flight->answer;
      plugin.flights.erase(key);
      flight->changed.Set();
    }
  };
  for (;;) {
    if (const PluginAnswer* known = Remembered(plugin, question)) co_return *known;
    auto it = plugin.flights.find(key);
    if (it == plugin.flights.end()) break;
    auto flight = it->second;
    while (!flight->answer && !flight->abandoned) co_await flight->changed.Wait();
    if (flight->answer) co_return *flight->answer;
  }
  auto flight = std::make_shared<Flight>();
  plugin.flights.emplace(key, flight);
  Landing landing{plugin, key, flight};
  auto answer = co_await Run(plugin, question);
  if (answer.ok()) Remember(plugin, question, *answer);
  flight->answer = answer;
  co_return answer;
}

}  // namespace keelson::cri
