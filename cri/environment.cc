// SPDX-License-Identifier: Apache-2.0
#include "cri/environment.h"

#include <cmath>
#include <optional>

#include "base/strings.h"
#include "proto/codec/quantity.h"

namespace keelson::cri {

using base::StrCat;
using proto::Quantity;

namespace {

// A variable's value; nullopt leaves it out.
using MaybeValue = absl::StatusOr<std::optional<std::string>>;
using Data = std::function<absl::StatusOr<StringMap>(const std::string& name)>;

std::string JoinIps(const std::vector<std::string>& ips) {
  std::string out;
  for (const std::string& ip : ips) base::StrAppend(&out, out.empty() ? "" : ",", ip);
  return out;
}

// metadata.labels['key'] -> key, for `map` "metadata.labels".
std::optional<std::string> Subscript(std::string_view path, std::string_view map) {
  if (!path.starts_with(map)) return std::nullopt;
  path.remove_prefix(map.size());
  if (!path.starts_with("['") || !path.ends_with("']") || path.size() < 4) return std::nullopt;
  return std::string(path.substr(2, path.size() - 4));
}

template <typename Map>
std::string Member(const Map& map, const std::string& key) {
  auto it = map.find(key);
  return it == map.end() ? "" : it->second;
}

class Builder {
 public:
  Builder(const v1::Pod& pod, const v1::Container& container, const EnvironmentContext& context)
      : pod_(pod), container_(container), context_(context) {}

  absl::StatusOr<std::vector<EnvVar>> Build() {
    for (const auto& source : container_.envfrom())
      if (auto status = AddAll(source); !status.ok()) return status;
    for (const auto& var : container_.env()) {
      auto value = ValueOf(var);
      if (!value.ok()) return value.status();
      if (*value) Set(var.name(), **std::move(value));
    }
    for (const auto& [name, value] : context_.service_env)
      if (!index_.contains(name)) Set(name, value);
    return std::move(env_);
  }

 private:
  void Set(const std::string& name, std::string value) {
    auto [it, added] = index_.emplace(name, env_.size());
    if (added)
      env_.push_back({name, std::move(value)});
    else
      env_[it->second].value = std::move(value);
  }

  absl::StatusOr<StringMap> Get(std::string_view kind, const Data& data, const std::string& name) {
    if (data) return data(name);
    return absl::FailedPreconditionError(StrCat("couldn't get ", kind, " ",
                                                pod_.metadata().namespace_(), "/", name,
                                                ", no kubeClient defined"));
  }

  absl::Status AddAll(const v1::EnvFromSource& source) {
    const bool is_map = source.has_configmapref();
    if (!is_map && !source.has_secretref()) return absl::OkStatus();
    const std::string& name = is_map ? source.configmapref().localobjectreference().name()
                                     : source.secretref().localobjectreference().name();
    const bool optional = is_map ? source.configmapref().optional() : source.secretref().optional();
    auto data =
        is_map ? Get("configMap", context_.config_map, name) : Get("secret", context_.secret, name);
    if (!data.ok())
      return absl::IsNotFound(data.status()) && optional ? absl::OkStatus() : data.status();
    for (auto& [key, value] : *data) Set(StrCat(source.prefix(), key), value);
    return absl::OkStatus();
  }

  // One key of an object.
  MaybeValue Key(std::string_view kind, std::string_view title, const Data& source,
                 const std::string& name, const std::string& key, bool optional) {
    auto data = Get(kind, source, name);
    if (!data.ok()) {
      if (absl::IsNotFound(data.status()) && optional) return std::nullopt;
      return data.status();
    }
    auto it = data->find(key);
    if (it != data->end()) return it->second;
    if (optional) return std::nullopt;
    return absl::NotFoundError(StrCat("couldn't find key ", key, " in ", title, " ",
                                      pod_.metadata().namespace_(), "/", name));
  }

  MaybeValue FileKey(const v1::FileKeySelector& file) {
    if (!context_.file_key)
      return absl::FailedPreconditionError(
          StrCat("cannot find the volume \"", file.volumename(), "\" referenced by FileKeyRef"));
    auto value = context_.file_key(file);
    if (value.ok()) return *std::move(value);
    if (absl::IsNotFound(value.status()) && file.optional()) return std::nullopt;
    return value.status();
  }

  MaybeValue ValueOf(const v1::EnvVar& var) {
    if (!var.value().empty())
      return Expand(var.value(), [this](std::string_view name) { return Known(name); });
    const v1::EnvVarSource& from = var.valuefrom();
    if (from.has_fieldref()) return FieldRefValue(pod_, from.fieldref(), context_);
    if (from.has_resourcefieldref())
      return ResourceFieldValue(pod_, container_, from.resourcefieldref(), context_.allocatable);
    if (from.has_configmapkeyref()) {
      const auto& ref = from.configmapkeyref();
      return Key("configMap", "ConfigMap", context_.config_map, ref.localobjectreference().name(),
                 ref.key(), ref.optional());
    }
    if (from.has_secretkeyref()) {
      const auto& ref = from.secretkeyref();
      return Key("secret", "Secret", context_.secret, ref.localobjectreference().name(), ref.key(),
                 ref.optional());
    }
    if (from.has_filekeyref()) return FileKey(from.filekeyref());
    return std::string();
  }

  // Variables before this one, then those of services.
  std::optional<std::string> Known(std::string_view name) const {
    if (auto it = index_.find(name); it != index_.end()) return env_[it->second].value;
    auto it = context_.service_env.find(std::string(name));
    if (it == context_.service_env.end()) return std::nullopt;
    return it->second;
  }

  const v1::Pod& pod_;
  const v1::Container& container_;
  const EnvironmentContext& context_;
  std::vector<EnvVar> env_;
  std::map<std::string, size_t, std::less<>> index_;  // into env_
};

const v1::Container* FindContainer(const v1::Pod& pod, const std::string& name) {
  for (const auto& c : pod.spec().containers())
    if (c.name() == name) return &c;
  for (const auto& c : pod.spec().initcontainers())
    if (c.name() == name) return &c;
  return nullptr;
}

absl::StatusOr<Quantity> Amount(const v1::Pod& pod, const v1::Container& container, bool limits,
                                const std::string& name, const StringMap& allocatable) {
  const auto& amounts = limits ? container.resources().limits() : container.resources().requests();
  Quantity amount;
  if (auto it = amounts.find(name); it != amounts.end()) {
    auto parsed = Quantity::From(it->second);
    if (!parsed.ok()) return parsed.status();
    amount = *parsed;
  }
  // Huge pages are never overcommitted, so their limit is always known; requests have no default.
  if (!limits || !amount.IsZero() || name.starts_with("hugepages-")) return amount;
  const auto& pod_limits = pod.spec().resources().limits();
  if (auto it = pod_limits.find(name); it != pod_limits.end() && name != "ephemeral-storage") {
    auto parsed = Quantity::From(it->second);
    if (!parsed.ok()) return parsed.status();
    if (!parsed->IsZero()) return *parsed;
  }
  auto it = allocatable.find(name);
  return it == allocatable.end() ? Quantity() : Quantity::Parse(it->second);
}

}  // namespace

absl::StatusOr<std::vector<EnvVar>> MakeEnvironment(const v1::Pod& pod,
                                                    const v1::Container& container,
                                                    const EnvironmentContext& context) {
  if (!pod.spec().has_enableservicelinks())
    return absl::InvalidArgumentError(
        "nil pod.spec.enableServiceLinks encountered, cannot construct envvars");
  return Builder(pod, container, context).Build();
}

absl::StatusOr<std::string> FieldRefValue(const v1::Pod& pod, const v1::ObjectFieldSelector& field,
                                          const EnvironmentContext& context) {
  const auto& meta = pod.metadata();
  const std::string& path = field.fieldpath();
  if (!field.apiversion().empty() && field.apiversion() != "v1")
    return absl::InvalidArgumentError(StrCat("unsupported pod version: ", field.apiversion()));
  if (auto key = Subscript(path, "metadata.labels")) return Member(meta.labels(), *key);
  if (auto key = Subscript(path, "metadata.annotations")) return Member(meta.annotations(), *key);
  if (path == "metadata.name") return meta.name();
  if (path == "metadata.namespace") return meta.namespace_();
  if (path == "metadata.uid") return meta.uid();
  if (path == "spec.nodeName" || path == "spec.host") return pod.spec().nodename();
  if (path == "spec.serviceAccountName") return pod.spec().serviceaccountname();
  if (path == "status.podIP") return context.pod_ips.empty() ? "" : context.pod_ips[0];
  if (path == "status.podIPs") return JoinIps(context.pod_ips);
  if (path == "status.hostIP") return context.host_ips.empty() ? "" : context.host_ips[0];
  if (path == "status.hostIPs") return JoinIps(context.host_ips);
  return absl::InvalidArgumentError(StrCat("unsupported fieldPath: ", path));
}

absl::StatusOr<std::string> ResourceFieldValue(const v1::Pod& pod, const v1::Container& container,
                                               const v1::ResourceFieldSelector& field,
                                               const StringMap& allocatable) {
  const v1::Container* owner =
      field.containername().empty() ? &container : FindContainer(pod, field.containername());
  if (!owner) return absl::NotFoundError(StrCat("container ", field.containername(), " not found"));
  const std::string& resource = field.resource();
  const bool limits = resource.starts_with("limits.");
  const std::string name = resource.substr(std::min(resource.find('.') + 1, resource.size()));
  const bool known = name == "cpu" || name == "memory" || name == "ephemeral-storage" ||
                     name.starts_with("hugepages-");
  if (!known || (!limits && !resource.starts_with("requests.")))
    return absl::InvalidArgumentError(StrCat("unsupported container resource : ", resource));
  auto amount = Amount(pod, *owner, limits, name, allocatable);
  if (!amount.ok()) return amount.status();
  auto divisor = Quantity::From(field.divisor());
  if (!divisor.ok()) return divisor.status();
  if (divisor->IsZero()) divisor = Quantity::FromValue(1);
  const double value = name == "cpu" ? static_cast<double>(amount->MilliValue())
                                     : static_cast<double>(amount->Value());
  const double unit = name == "cpu" ? static_cast<double>(divisor->MilliValue())
                                    : static_cast<double>(divisor->Value());
  return StrCat(static_cast<int64_t>(std::ceil(value / unit)));
}

std::string FormatMap(const StringMap& map) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (const auto& [key, value] : map) {
    base::StrAppend(&out, out.empty() ? "" : "\n", key, "=\"");
    for (const char c : value) {  // Go's strconv.Quote, for UTF-8 text
      const auto byte = static_cast<unsigned char>(c);
      if (c == '"' || c == '\\')
        out += {'\\', c};
      else if (c == '\n')
        out += "\\n";
      else if (c == '\t')
        out += "\\t";
      else if (c == '\r')
        out += "\\r";
      else if (byte >= '\a' && byte <= '\f')
        out += {'\\', "abtnvf"[byte - '\a']};
      else if (byte < 0x20 || byte == 0x7f)
        base::StrAppend(&out, "\\x", kHex[byte >> 4], kHex[byte & 15]);
      else
        out += c;
    }
    out += '"';
  }
  return out;
}

}  // namespace keelson::cri
