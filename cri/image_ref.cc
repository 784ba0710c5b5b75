// SPDX-License-Identifier: Apache-2.0
// The grammar is that of the distribution project's reference specification.
#include "cri/image_ref.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"

namespace keelson::cri {

using base::StrCat;

namespace {

constexpr size_t kMaxRepository = 255;
constexpr size_t kMaxTag = 128;
constexpr std::string_view kHub = "docker.io";
constexpr std::string_view kBadFormat = "invalid reference format";

bool IsLower(char c) { return c >= 'a' && c <= 'z'; }
bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsAlnum(char c) { return IsLower(c) || IsUpper(c) || IsDigit(c); }
bool IsHex(char c) { return IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
template <typename Test>
bool All(std::string_view text, Test test) {
  return std::all_of(text.begin(), text.end(), test);
}

// Takes the part before `separator` off `text`; the whole of it when there is none.
std::string_view TakeUntil(std::string_view& text, char separator) {
  const std::string_view part = text.substr(0, text.find(separator));
  text.remove_prefix(std::min(part.size() + 1, text.size()));
  return part;
}

// Lower case letters and digits, joined by ".", "_", "__" or dashes.
bool IsPathComponent(std::string_view part) {
  const auto atom = [](char c) { return IsLower(c) || IsDigit(c); };
  if (part.empty() || !atom(part.front()) || !atom(part.back())) return false;
  while (!part.empty()) {
    part.remove_prefix(std::find_if_not(part.begin(), part.end(), atom) - part.begin());
    const std::string_view joint =
        part.substr(0, std::find_if(part.begin(), part.end(), atom) - part.begin());
    const bool good = joint.empty() || joint == "." || joint == "_" || joint == "__" ||
                      All(joint, [](char c) { return c == '-'; });
    if (!good) return false;
    part.remove_prefix(joint.size());
  }
  return true;
}

bool IsRepository(std::string_view path) {
  if (path.empty() || path.back() == '/') return false;
  while (!path.empty())
    if (!IsPathComponent(TakeUntil(path, '/'))) return false;
  return true;
}

bool IsHost(std::string_view host) {
  if (host.starts_with('[')) {
    return host.size() > 2 && host.ends_with(']') &&
           All(host.substr(1, host.size() - 2), [](char c) { return IsHex(c) || c == ':'; });
  }
  if (host.empty() || host.back() == '.') return false;
  while (!host.empty()) {
    const std::string_view part = TakeUntil(host, '.');
    if (part.empty() || !IsAlnum(part.front()) || !IsAlnum(part.back())) return false;
    if (!All(part, [](char c) { return IsAlnum(c) || c == '-'; })) return false;
  }
  return true;
}

bool IsRegistry(std::string_view text) {
  const size_t bracket = text.rfind(']');
  const size_t colon = text.find(':', bracket == text.npos ? 0 : bracket);
  if (colon == text.npos) return IsHost(text);
  const std::string_view port = text.substr(colon + 1);
  return !port.empty() && All(port, IsDigit) && IsHost(text.substr(0, colon));
}

bool IsTag(std::string_view tag) {
  const auto word = [](char c) { return IsAlnum(c) || c == '_'; };
  return !tag.empty() && tag.size() <= kMaxTag && word(tag[0]) &&
         All(tag, [&](char c) { return word(c) || c == '.' || c == '-'; });
}

// algorithm:hex; the registered algorithms have hexadecimal digests of fixed length in lower case.
bool IsDigest(std::string_view digest) {
  const std::string_view algorithm = TakeUntil(digest, ':');
  const size_t size = algorithm == "sha256"   ? 64
                      : algorithm == "sha384" ? 96
                      : algorithm == "sha512" ? 128
                                              : 0;
  return size > 0 && digest.size() == size &&
         All(digest, [](char c) { return IsHex(c) && !IsUpper(c); });
}

// The registry and the rest; Docker Hub when the first part cannot be a host.
std::pair<std::string, std::string> SplitRegistry(std::string_view image) {
  const size_t slash = image.find('/');
  const std::string_view first = image.substr(0, slash);
  const bool host =
      slash != image.npos && (first == "localhost" || first.find_first_of(".:") != first.npos ||
                              std::any_of(first.begin(), first.end(), IsUpper));
  std::string registry(host ? first : kHub);
  std::string rest(host ? image.substr(slash + 1) : image);
  if (registry == "index.docker.io") registry = kHub;
  if (registry == kHub && rest.find('/') == rest.npos) rest.insert(0, "library/");
  return {std::move(registry), std::move(rest)};
}

absl::Status Bad(std::string_view image, std::string_view why) {
  return absl::InvalidArgumentError(StrCat("couldn't parse image name \"", image, "\": ", why));
}

}  // namespace

absl::StatusOr<ImageRef> ParseImageRef(std::string_view image) {
  if (image.size() == 64 && All(image, [](char c) { return IsHex(c) && !IsUpper(c); }))
    return Bad(image, StrCat("invalid repository name (", image,
                             "), cannot specify 64-byte hexadecimal strings"));
  ImageRef ref;
  auto [registry, rest] = SplitRegistry(image);
  const std::string_view remote = std::string_view(rest).substr(0, rest.find(':'));
  if (std::any_of(remote.begin(), remote.end(), IsUpper))
    return Bad(image, StrCat(kBadFormat, ": repository name (", remote, ") must be lowercase"));
  if (const size_t at = rest.find('@'); at != rest.npos) {
    ref.digest = rest.substr(at + 1);
    rest.resize(at);
    if (!IsDigest(ref.digest)) return Bad(image, kBadFormat);
  }
  if (const size_t colon = rest.find(':'); colon != rest.npos) {
    ref.tag = rest.substr(colon + 1);
    rest.resize(colon);
    if (!IsTag(ref.tag)) return Bad(image, kBadFormat);
  }
  if (!IsRegistry(registry) || !IsRepository(rest)) return Bad(image, kBadFormat);
  if (rest.size() > kMaxRepository)
    return Bad(image,
               StrCat("repository name must not be more than ", kMaxRepository, " characters"));
  ref.registry = std::move(registry);
  ref.repository = std::move(rest);
  if (ref.tag.empty() && ref.digest.empty()) ref.tag = "latest";
  return ref;
}

absl::StatusOr<std::string> WithDefaultTag(const std::string& image) {
  auto ref = ParseImageRef(image);
  if (!ref.ok()) return ref.status();
  const std::string tag = StrCat(":", ref->tag);
  if (!ref->digest.empty() || image.ends_with(tag)) return image;
  return image + tag;
}

}  // namespace keelson::cri
