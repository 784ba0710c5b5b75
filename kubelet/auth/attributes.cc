// SPDX-License-Identifier: Apache-2.0
#include "kubelet/auth/attributes.h"

namespace keelson::kubelet::auth {
namespace {

struct Rule {
  std::string_view prefix;
  std::vector<std::string> subresources;
};

// The path itself, or something below it: /pods and /pods/x, not /podsx.
bool Below(std::string_view path, std::string_view prefix) {
  return path.starts_with(prefix) &&
         (path.size() == prefix.size() || path[prefix.size()] == '/');
}

}  // namespace

std::string_view VerbOf(std::string_view method) {
  if (method == "GET") return "get";
  if (method == "POST") return "create";
  if (method == "PUT") return "update";
  if (method == "PATCH") return "patch";
  if (method == "DELETE") return "delete";
  return "";
}

std::vector<std::string> SubresourcesOf(std::string_view path) {
  static const auto* rules = new std::vector<Rule>{
      {"/pods", {"pods", "proxy"}},       {"/runningpods", {"pods", "proxy"}},
      {"/healthz", {"healthz", "proxy"}}, {"/configz", {"configz", "proxy"}},
      {"/stats", {"stats"}},              {"/metrics", {"metrics"}},
      {"/logs", {"log"}},                 {"/checkpoint", {"checkpoint"}},
      {"/statusz", {"statusz"}},          {"/flagz", {"configz"}},
  };
  for (const Rule& rule : *rules)
    if (Below(path, rule.prefix)) return rule.subresources;
  return {"proxy"};
}

}  // namespace keelson::kubelet::auth
