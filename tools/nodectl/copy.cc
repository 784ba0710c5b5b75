// SPDX-License-Identifier: Apache-2.0
// cp: a tar stream through a command in the container, as kubectl does it.
#include "tools/nodectl/copy.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

#include "base/errno_status.h"
#include "base/files.h"
#include "tools/nodectl/client.h"
#include "tools/nodectl/commands.h"
#include "tools/nodectl/lookup.h"
#include "tools/nodectl/session.h"
#include "tools/nodectl/table.h"
#include "tools/nodectl/tar.h"

namespace keelson::nodectl {

absl::StatusOr<CopyPlace> ParseCopyPlace(const std::string& text) {
  CopyPlace place;
  const size_t colon = text.find(':');
  if (text.empty()) return absl::InvalidArgumentError("an empty path cannot be copied");
  if (colon == text.npos || text[0] == '/' || text[0] == '.') {
    place.path = text;
    return place;
  }
  place.pod = text.substr(0, colon);
  place.path = text.substr(colon + 1);
  if (const size_t slash = place.pod.find('/'); slash != place.pod.npos) {
    place.ns = place.pod.substr(0, slash);
    place.pod.erase(0, slash + 1);
  }
  if (place.pod.empty() || place.path.empty())
    return absl::InvalidArgumentError(base::StrCat(text, " is not [NAMESPACE/]POD:PATH"));
  return place;
}

SplitPath Split(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  const size_t slash = path.rfind('/');
  if (path == "/" || path == "." || path == "..") return {path, "."};
  if (slash == path.npos) return {".", path};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

namespace {

class Copier {
 public:
  Copier(const Options& options, CopyPlace remote) : options_(options), remote_(std::move(remote)) {}

  absl::Status Find() {
    Options wanted = options_;
    if (!remote_.ns.empty()) wanted.ns = remote_.ns;
    auto pod = OnePod(wanted, remote_.pod);
    if (!pod.ok()) return pod.status();
    path_ = base::StrCat("/exec/", pod->metadata().namespace_(), "/", pod->metadata().name(), "/",
                         ContainerOf(wanted, *pod));
    return absl::OkStatus();
  }

  absl::StatusOr<int> Download(const std::string& local) {
    const SplitPath from = Split(remote_.path);
    SplitPath to = Split(local);
    if (IsFolder(local)) to = {local, from.base};
    auto dir = base::OpenDir(to.dir);
    if (!dir.ok()) return dir.status();
    TarExtractor extractor(std::move(*dir), from.base, to.base, [](const std::string& text) {
      std::fprintf(stderr, "nodectl: %s\n", Printable(text).c_str());
    });
    TarReader reader({[&](const TarEntry& entry) { return extractor.Begin(entry); },
                      [&](std::string_view data) { return extractor.Data(data); }});
    SessionIo io;
    io.out = [&](std::string_view data) { return reader.Feed(data); };
    auto code = Tar({"tar", "cf", "-", "-C", from.dir, Plain(from.base)}, io);
    if (!code.ok() || *code != 0) return code;
    RETURN_IF_ERROR(reader.Finish());
    return 0;
  }

  absl::StatusOr<int> Upload(const std::string& local) {
    if (::access(local.c_str(), F_OK) < 0) return base::ErrnoStatus("open", local);
    SplitPath to = Split(remote_.path);
    auto folder = Run({"test", "-d", remote_.path}, {});
    if (!folder.ok()) return folder.status();
    if (*folder == 0) to = {remote_.path, Split(local).base};
    TarWriter writer(local, to.base);
    SessionIo io;
    io.in = [&] { return writer.Next(); };
    return Tar({"tar", "xmf", "-", "-C", to.dir}, io);
  }

 private:
  static bool IsFolder(const std::string& path) {
    struct stat info;
    return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
  }
  // A name that is no option.
  static std::string Plain(const std::string& name) { return name.starts_with('-') ? "./" + name : name; }

  absl::StatusOr<int> Run(const std::vector<std::string>& command, SessionIo io) {
    QueryParams query;
    for (const std::string& word : command) query.emplace_back("command", word);
    if (!io.out) io.out = [](std::string_view) { return absl::OkStatus(); };  // it says nothing
    io.err = [](std::string_view data) { return WriteFd(STDERR_FILENO, Printable(data, true)); };
    return RunSession(Client(options_.socket), path_, query, io);
  }

  absl::StatusOr<int> Tar(const std::vector<std::string>& command, const SessionIo& io) {
    auto code = Run(command, io);
    if (code.ok()) return code;
    return base::Annotate(code.status(), "cp needs a tar program in the container");
  }

  const Options& options_;
  const CopyPlace remote_;
  std::string path_;  // of exec, once it is found
};

}  // namespace

absl::StatusOr<int> Copy(const Options& options) {
  auto from = ParseCopyPlace(options.names[0]);
  auto to = ParseCopyPlace(options.names[1]);
  if (!from.ok()) return from.status();
  if (!to.ok()) return to.status();
  if (from->pod.empty() == to->pod.empty())
    return absl::InvalidArgumentError("one side must be [NAMESPACE/]POD:PATH, the other a path here");
  const bool download = to->pod.empty();
  Copier copier(options, download ? *from : *to);
  RETURN_IF_ERROR(copier.Find());
  return download ? copier.Download(to->path) : copier.Upload(from->path);
}

}  // namespace keelson::nodectl
