// SPDX-License-Identifier: Apache-2.0
// Tar streams (ustar with GNU's long names; pax names are read). What comes from a container is hostile:
// nothing is written outside its target, no link is made or followed. One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/fd.h"

namespace keelson::nodectl {

struct TarEntry {
  std::string name;  // as it stands in the archive
  char type = '0';   // 0 file, 5 folder, 2 symlink, 1 hard link, others
  uint32_t mode = 0;
  uint64_t size = 0;
};

// Takes an archive apart as it comes.
class TarReader {
 public:
  struct Handler {
    std::function<absl::Status(const TarEntry&)> begin;
    std::function<absl::Status(std::string_view)> data;  // of the entry that began last
  };
  explicit TarReader(Handler handler) : handler_(std::move(handler)) {}
  // InvalidArgument: no tar archive. Errors of the handler end the reading.
  absl::Status Feed(std::string_view bytes);
  // DataLoss: the archive was cut off.
  absl::Status Finish() const;

 private:
  absl::Status TakeHeader(std::string_view block);
  absl::Status EndExtension();

  const Handler handler_;
  std::string header_;         // of the next entry, until it is whole
  uint64_t left_ = 0;          // of the present entry's data
  uint64_t padding_ = 0;       // behind it
  char extension_ = 0;         // the data is a long name (L), a pax header (x), or to be skipped (S)
  std::string extension_data_;
  std::string long_name_;      // for the next entry
  bool ended_ = false;         // an empty block was seen
  bool any_ = false;
};

// Makes an archive of one file or folder, piece by piece.
class TarWriter {
 public:
  // The entry of `path` is called `name`, those below it name/... . Symlinks are archived as such.
  TarWriter(std::string path, std::string name);
  // Empty: that was all.
  absl::StatusOr<std::string> Next();

 private:
  struct Pending {
    std::string path, name;
  };
  absl::StatusOr<std::string> StartEntry(const Pending& entry);
  absl::StatusOr<std::string> Content();

  std::deque<Pending> pending_;
  base::UniqueFd file_;
  uint64_t left_ = 0, padding_ = 0;
  bool ended_ = false;
};

// Writes what comes below a folder.
class TarExtractor {
 public:
  // The archive's first component (`strip`) becomes `name` in the folder `dir`; "." is the folder
  // itself. `warn` hears of entries that are left out: links and devices.
  TarExtractor(base::UniqueFd dir, std::string strip, std::string name,
               std::function<void(const std::string&)> warn);
  absl::Status Begin(const TarEntry& entry);
  absl::Status Data(std::string_view bytes);
  int files() const { return files_; }

 private:
  const base::UniqueFd dir_;
  const std::string strip_, name_;
  const std::function<void(const std::string&)> warn_;
  base::UniqueFd file_;
  int files_ = 0;
};

// Where an entry goes below the target: `name` for `strip`, and what is behind it. InvalidArgument: it
// tries to leave, or is not below `strip`. Pure.
absl::StatusOr<std::string> TargetOf(const std::string& entry, const std::string& strip,
                                     const std::string& name);

}  // namespace keelson::nodectl
