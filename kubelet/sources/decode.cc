// SPDX-License-Identifier: Apache-2.0
#include "kubelet/sources/decode.h"

#include <charconv>
#include <optional>

#include "base/errno_status.h"
#include "base/strings.h"
#include "proto/codec/codec.h"

namespace keelson::kubelet::sources {
namespace {

using base::StrCat;

std::string Where(const std::string& source, int line) {
  return line > 0 ? StrCat(source, ":", line, ": ") : StrCat(source, ": ");
}

absl::Status CheckType(const proto::TypeMeta& type, const proto::Value& tree,
                       const std::string& source, bool allow_list) {
  const auto fail = [&](std::string_view field, std::string_view text) {
    return absl::InvalidArgumentError(
        StrCat(Where(source, LineOf(tree, field)), field, ": ", text));
  };
  if (type.api_version.empty()) return fail("apiVersion", "Required value: must be \"v1\"");
  if (type.kind.empty()) return fail("kind", "Required value: must be \"Pod\"");
  if (type.api_version != "v1") {
    return fail("apiVersion", StrCat("\"", type.api_version, "\" is not \"v1\""));
  }
  if (type.kind == "Pod" || (allow_list && type.kind == "PodList")) return absl::OkStatus();
  if (type.kind == "PodList") {
    return fail("kind", "\"PodList\" is for manifest URLs; a file holds exactly one Pod");
  }
  return fail("kind", StrCat("\"", type.kind, "\" is not \"Pod\""));
}

// One step of a path: a member's name or what stands in brackets.
struct Step {
  std::string_view name;
  bool bracket = false;
};

std::optional<Step> NextStep(std::string_view* path) {
  if (path->starts_with('.')) path->remove_prefix(1);
  if (path->empty()) return std::nullopt;
  Step step;
  if (path->starts_with('[')) {
    const size_t end = std::min(path->find(']'), path->size());
    step = {path->substr(1, end - 1), true};
    path->remove_prefix(std::min(end + 1, path->size()));
  } else {
    step.name = path->substr(0, path->find_first_of(".["));
    path->remove_prefix(step.name.size());
  }
  return step;
}

const proto::Value* Follow(const proto::Value& from, const Step& step, int* line) {
  if (step.bracket && from.kind == proto::Value::Kind::kList) {
    size_t index = 0;
    std::from_chars(step.name.data(), step.name.data() + step.name.size(), index);
    if (index >= from.items.size()) return nullptr;
    if (from.items[index].line > 0) *line = from.items[index].line;
    return &from.items[index];
  }
  for (const proto::Member& member : from.members) {
    if (member.key != step.name) continue;
    *line = member.line > 0 ? member.line : member.value.line;
    return &member.value;
  }
  return nullptr;
}

}  // namespace

int LineOf(const proto::Value& object, std::string_view path) {
  int line = object.line;
  const proto::Value* at = &object;
  while (auto step = NextStep(&path)) {
    at = Follow(*at, *step, &line);
    if (at == nullptr) break;
  }
  return line;
}

absl::StatusOr<DecodedPods> DecodePods(std::string_view bytes, const std::string& source,
                                       bool allow_list) {
  if (bytes.empty()) {
    return absl::InvalidArgumentError(StrCat(source, ": the file is empty, expected a Pod"));
  }
  proto::DecodeOptions options;
  options.max_bytes = kMaxManifestBytes;
  options.source = source;
  std::vector<proto::DecodeWarning> warnings;
  auto tree = proto::ParseTree(bytes, options, &warnings);
  if (!tree.ok()) return tree.status();
  auto type = proto::TypeMetaOf(*tree);
  if (!type.ok()) return base::Annotate(type.status(), source);
  RETURN_IF_ERROR(CheckType(*type, *tree, source, allow_list));

  DecodedPods out;
  out.is_list = type->kind == "PodList";
  if (out.is_list) {
    v1::PodList list;
    RETURN_IF_ERROR(proto::DecodeTree(*tree, &list, options, &warnings));
    out.pods.assign(list.items().begin(), list.items().end());
  } else {
    RETURN_IF_ERROR(proto::DecodeTree(*tree, &out.pods.emplace_back(), options, &warnings));
  }
  for (const auto& warning : warnings) {
    out.warnings.push_back(
        StrCat(Where(source, warning.line), warning.path, ": ", warning.message));
  }
  out.tree = std::move(*tree);
  return out;
}

}  // namespace keelson::kubelet::sources
