// SPDX-License-Identifier: Apache-2.0
// Short ways to say a manifest, for tests.
#pragma once

#include <string>
#include <string_view>

#include "base/strings.h"
#include "kubelet/sources/decode.h"
#include "kubelet/sources/defaults.h"
#include "kubelet/sources/manifest.h"

namespace keelson::kubelet::sources {

inline std::string PodText(std::string_view spec, std::string_view metadata = "{name: web}") {
  return base::StrCat("apiVersion: v1\nkind: Pod\nmetadata: ", metadata, "\nspec: ", spec, "\n");
}

// As PodText, but `spec` gets one good container besides.
inline std::string WithContainer(std::string_view spec) {
  return PodText(base::StrCat("{containers: [{name: c, image: i:1}], ", spec, "}"));
}

inline absl::StatusOr<Manifest> Read(std::string_view text, PodSource source = PodSource::kFile,
                                     std::string name = "web.yaml", std::string node = "node1") {
  return ReadManifest(text, {source, std::move(name), std::move(node)});
}

// The decoded pod with its defaults.
inline v1::Pod Defaulted(std::string_view text) {
  auto decoded = DecodePods(text, "web.yaml", false);
  if (!decoded.ok()) {
    ADD_FAILURE() << decoded.status();
    return {};
  }
  ApplyDefaults(&decoded->pods.at(0));
  return decoded->pods.at(0);
}

// The complaints about a manifest, or "fine".
inline std::string Verdict(std::string_view text, PodSource source = PodSource::kFile) {
  const auto manifest = Read(text, source);
  return manifest.ok() ? "fine" : std::string(base::Message(manifest.status()));
}

}  // namespace keelson::kubelet::sources
