// SPDX-License-Identifier: Apache-2.0
#include "tools/nodectl/tar.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>

#include "base/errno_status.h"
#include "base/files.h"

namespace keelson::nodectl {
namespace {

constexpr size_t kBlock = 512;
constexpr size_t kPiece = 64 << 10;
constexpr size_t kMaxExtension = 1 << 20;
constexpr size_t kMaxDepth = 256;

// Fields of a header: offset and length (POSIX ustar).
struct Field {
  size_t at, size;
};
constexpr Field kName{0, 100}, kMode{100, 8}, kUid{108, 8}, kGid{116, 8}, kSize{124, 12},
    kMtime{136, 12}, kChecksum{148, 8}, kType{156, 1}, kLink{157, 100}, kMagic{257, 6},
    kPrefix{345, 155};

std::string Text(std::string_view block, Field field) {
  const std::string_view raw = block.substr(field.at, field.size);
  return std::string(raw.substr(0, raw.find('\0')));
}

// Octal, or GNU's binary form for what does not fit.
absl::StatusOr<uint64_t> Number(std::string_view block, Field field) {
  std::string_view raw = block.substr(field.at, field.size);
  uint64_t value = 0;
  if ((static_cast<uint8_t>(raw[0]) & 0x80) != 0) {
    for (char c : raw.substr(raw.size() - 8)) value = value << 8 | static_cast<uint8_t>(c);
    if (value >> 62 != 0) return absl::InvalidArgumentError("tar: a number is too large");
    return value;
  }
  while (raw.starts_with(' ')) raw.remove_prefix(1);
  raw = raw.substr(0, raw.find_first_of(std::string_view(" \0", 2)));
  auto [end, error] = std::from_chars(raw.data(), raw.data() + raw.size(), value, 8);
  if (!raw.empty() && (error != std::errc() || end != raw.data() + raw.size()))
    return absl::InvalidArgumentError("tar: bad number in a header");
  return value;
}

uint64_t ChecksumOf(std::string_view block) {
  uint64_t sum = 0;
  for (size_t i = 0; i < kBlock; ++i)
    sum += i >= kChecksum.at && i < kChecksum.at + kChecksum.size ? ' ' : static_cast<uint8_t>(block[i]);
  return sum;
}

void Put(std::string* block, Field field, std::string_view text) {
  std::memcpy(block->data() + field.at, text.data(), std::min(field.size, text.size()));
}

void PutNumber(std::string* block, Field field, uint64_t value) {
  char digits[32];
  std::snprintf(digits, sizeof(digits), "%0*llo", static_cast<int>(field.size - 1),
                static_cast<unsigned long long>(value));
  if (std::strlen(digits) < field.size) return Put(block, field, digits);
  std::string binary(field.size, '\0');
  binary[0] = static_cast<char>(0x80);
  for (size_t i = 0; i < 8; ++i)
    binary[field.size - 1 - i] = static_cast<char>(value >> (8 * i) & 0xff);
  Put(block, field, binary);
}

struct HeaderFields {
  std::string name, link;
  char type = '0';
  uint32_t mode = 0;
  uint64_t size = 0, uid = 0, gid = 0, mtime = 0;
};

std::string Header(const HeaderFields& fields) {
  std::string block(kBlock, '\0');
  Put(&block, kName, fields.name);
  PutNumber(&block, kMode, fields.mode);
  PutNumber(&block, kUid, fields.uid);
  PutNumber(&block, kGid, fields.gid);
  PutNumber(&block, kSize, fields.size);
  PutNumber(&block, kMtime, fields.mtime);
  block[kType.at] = fields.type;
  Put(&block, kLink, fields.link);
  Put(&block, kMagic, "ustar ");
  Put(&block, {263, 2}, " ");
  PutNumber(&block, {kChecksum.at, 7}, ChecksumOf(block));
  block[kChecksum.at + 7] = ' ';
  return block;
}

// A name too long for its field comes before the entry, as a file of its own.
std::string LongName(char type, const std::string& name) {
  if (name.size() <= kName.size) return {};
  HeaderFields fields;
  fields.name = "././@LongLink";
  fields.type = type;
  fields.size = name.size() + 1;
  std::string out = Header(fields) + name;
  out.resize(out.size() + kBlock - (name.size() % kBlock), '\0');
  return out;
}

// `path=` of a pax header; empty when it has none.
std::string PaxPath(std::string_view data) {
  std::string path;
  while (!data.empty()) {
    size_t length = 0;
    auto [end, error] = std::from_chars(data.data(), data.data() + data.size(), length);
    const size_t digits = static_cast<size_t>(end - data.data());
    if (error != std::errc() || length <= digits + 1 || length > data.size()) break;
    const std::string_view record = data.substr(digits + 1, length - digits - 2);
    if (record.starts_with("path=")) path = record.substr(5);
    data.remove_prefix(length);
  }
  return path;
}

}  // namespace

absl::Status TarReader::TakeHeader(std::string_view block) {
  if (block.find_first_not_of('\0') == block.npos) {
    ended_ = true;
    return absl::OkStatus();
  }
  auto checksum = Number(block, kChecksum);
  if (!checksum.ok() || *checksum != ChecksumOf(block))
    return absl::InvalidArgumentError("what comes is not a tar archive");
  any_ = true;
  auto size = Number(block, kSize);
  auto mode = Number(block, kMode);
  if (!size.ok()) return size.status();
  const char type = block[kType.at] == '\0' ? '0' : block[kType.at];
  left_ = type == '0' || type == '7' || type == 'L' || type == 'K' || type == 'x' || type == 'g' ? *size : 0;
  padding_ = (kBlock - left_ % kBlock) % kBlock;
  extension_ = type == 'L' || type == 'x' ? type : type == 'K' || type == 'g' ? 'S' : 0;
  extension_data_.clear();
  if (extension_ != 0) {
    if (left_ > kMaxExtension) return absl::InvalidArgumentError("tar: an endless name");
    return left_ == 0 ? EndExtension() : absl::OkStatus();
  }
  TarEntry entry;
  entry.type = type == '7' ? '0' : type;
  entry.mode = mode.ok() ? static_cast<uint32_t>(*mode) : 0;
  entry.size = left_;
  entry.name = std::exchange(long_name_, {});
  if (entry.name.empty()) {
    entry.name = Text(block, kName);
    // GNU's magic has other things where the prefix is.
    const std::string prefix = block.substr(kMagic.at, 6) == std::string_view("ustar\0", 6) ? Text(block, kPrefix) : "";
    if (!prefix.empty()) entry.name = base::StrCat(prefix, "/", entry.name);
  }
  return handler_.begin(entry);
}

absl::Status TarReader::EndExtension() {
  if (extension_ == 'L') long_name_ = extension_data_.substr(0, extension_data_.find('\0'));
  if (extension_ == 'x')
    if (std::string path = PaxPath(extension_data_); !path.empty()) long_name_ = std::move(path);
  extension_ = 0;
  return absl::OkStatus();
}

absl::Status TarReader::Feed(std::string_view bytes) {
  while (!bytes.empty()) {
    if (ended_) return absl::OkStatus();  // what follows the end is padding
    if (left_ > 0) {
      const std::string_view piece = bytes.substr(0, std::min<uint64_t>(left_, bytes.size()));
      bytes.remove_prefix(piece.size());
      left_ -= piece.size();
      if (extension_ == 0) RETURN_IF_ERROR(handler_.data(piece));
      else extension_data_ += piece;
      if (left_ == 0 && extension_ != 0) RETURN_IF_ERROR(EndExtension());
    } else if (padding_ > 0) {
      const size_t skipped = std::min<uint64_t>(padding_, bytes.size());
      padding_ -= skipped;
      bytes.remove_prefix(skipped);
    } else {
      const size_t taken = std::min(kBlock - header_.size(), bytes.size());
      header_ += bytes.substr(0, taken);
      bytes.remove_prefix(taken);
      if (header_.size() < kBlock) return absl::OkStatus();
      RETURN_IF_ERROR(TakeHeader(std::exchange(header_, {})));
    }
  }
  return absl::OkStatus();
}

absl::Status TarReader::Finish() const {
  if (left_ > 0 || !header_.empty()) return absl::DataLossError("the archive was cut off");
  if (!any_) return absl::NotFoundError("the archive is empty");
  return absl::OkStatus();
}

TarWriter::TarWriter(std::string path, std::string name) {
  pending_.push_back({std::move(path), std::move(name)});
}

absl::StatusOr<std::string> TarWriter::StartEntry(const Pending& entry) {
  struct stat info;
  if (::lstat(entry.path.c_str(), &info) < 0) return base::ErrnoStatus("stat", entry.path);
  HeaderFields fields;
  fields.name = entry.name;
  fields.mode = info.st_mode & 07777;
  fields.uid = info.st_uid;
  fields.gid = info.st_gid;
  fields.mtime = static_cast<uint64_t>(std::max<int64_t>(info.st_mtime, 0));
  if (S_ISDIR(info.st_mode)) {
    fields.type = '5';
    fields.name += "/";
    auto names = base::ListDir(entry.path);
    if (!names.ok()) return names.status();
    for (auto name = names->rbegin(); name != names->rend(); ++name)
      pending_.push_front({base::JoinPath(entry.path, *name), base::JoinPath(entry.name, *name)});
  } else if (S_ISLNK(info.st_mode)) {
    fields.type = '2';
    fields.link.resize(PATH_MAX);
    const ssize_t size = ::readlink(entry.path.c_str(), fields.link.data(), fields.link.size());
    if (size < 0) return base::ErrnoStatus("readlink", entry.path);
    fields.link.resize(static_cast<size_t>(size));
  } else if (S_ISREG(info.st_mode)) {
    file_.reset(::open(entry.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!file_.ok()) return base::ErrnoStatus("open", entry.path);
    fields.size = left_ = static_cast<uint64_t>(info.st_size);
    padding_ = (kBlock - left_ % kBlock) % kBlock;
  } else {
    return absl::InvalidArgumentError(
        base::StrCat(entry.path, " is neither a file nor a folder nor a symlink"));
  }
  return LongName('K', fields.link) + LongName('L', fields.name) + Header(fields);
}

absl::StatusOr<std::string> TarWriter::Content() {
  std::string block(std::min<uint64_t>(left_, kPiece), '\0');
  const ssize_t got = ::read(file_.get(), block.data(), block.size());
  if (got < 0) return base::ErrnoStatus("read");
  // A file that shrank is filled up: its size is already said.
  if (got > 0) block.resize(static_cast<size_t>(got));
  left_ -= block.size();
  if (left_ == 0) block.append(std::exchange(padding_, 0), '\0');
  return block;
}

absl::StatusOr<std::string> TarWriter::Next() {
  if (left_ > 0) return Content();
  if (!pending_.empty()) {
    const Pending entry = pending_.front();
    pending_.pop_front();
    return StartEntry(entry);
  }
  if (std::exchange(ended_, true)) return std::string();
  return std::string(2 * kBlock, '\0');
}

absl::StatusOr<std::string> TargetOf(const std::string& entry, const std::string& strip,
                                     const std::string& name) {
  std::vector<std::string> parts;
  std::string_view rest = entry;
  if (rest.starts_with('/')) return absl::InvalidArgumentError(base::StrCat("tar: absolute name ", entry));
  while (!rest.empty()) {
    const size_t slash = rest.find('/');
    const std::string_view part = rest.substr(0, slash);
    if (part == "..") return absl::InvalidArgumentError(base::StrCat("tar: name leaves its folder: ", entry));
    if (!part.empty() && part != ".") parts.emplace_back(part);
    rest = slash == rest.npos ? std::string_view() : rest.substr(slash + 1);
  }
  if (parts.size() > kMaxDepth) return absl::InvalidArgumentError(base::StrCat("tar: too deep: ", entry));
  if (strip != ".") {
    if (parts.empty() || parts.front() != strip)
      return absl::InvalidArgumentError(base::StrCat("tar: ", entry, " was not asked for"));
    parts.erase(parts.begin());
  }
  if (name != ".") parts.insert(parts.begin(), name);
  std::string target;
  for (const std::string& part : parts) base::StrAppend(&target, target.empty() ? "" : "/", part);
  return target.empty() ? "." : target;
}

TarExtractor::TarExtractor(base::UniqueFd dir, std::string strip, std::string name,
                           std::function<void(const std::string&)> warn)
    : dir_(std::move(dir)), strip_(std::move(strip)), name_(std::move(name)), warn_(std::move(warn)) {}

absl::Status TarExtractor::Begin(const TarEntry& entry) {
  file_.reset();
  auto target = TargetOf(entry.name, strip_, name_);
  if (!target.ok()) return target.status();
  if (entry.type != '0' && entry.type != '5') {
    warn_(base::StrCat("left out, not a file or folder: ", entry.name));
    return absl::OkStatus();
  }
  // The folders on the way may not be symlinks, whoever made them.
  std::string parent;
  base::UniqueFd at(::dup(dir_.get()));
  for (size_t from = 0, slash; (slash = target->find('/', from)) != target->npos; from = slash + 1) {
    parent = target->substr(0, slash);
    if (::mkdirat(at.get(), target->substr(from, slash - from).c_str(), 0777) < 0 && errno != EEXIST)
      return base::ErrnoStatus("mkdir", parent);
    auto next = base::OpenBeneath(dir_.get(), parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!next.ok()) return next.status();
    at = std::move(*next);
  }
  const std::string last = target->substr(parent.empty() ? 0 : parent.size() + 1);
  const mode_t mode = entry.mode & 0777;
  if (entry.type == '5') {
    if (*target == "." || ::mkdirat(at.get(), last.c_str(), mode | 0700) == 0) return absl::OkStatus();
    if (errno != EEXIST) return base::ErrnoStatus("mkdir", *target);
    return base::OpenBeneath(dir_.get(), *target, O_RDONLY | O_DIRECTORY | O_CLOEXEC).status();
  }
  auto file = base::OpenBeneath(at.get(), last, O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW, mode);
  if (!file.ok()) return file.status();
  struct stat info;
  if (::fstat(file->get(), &info) < 0) return base::ErrnoStatus("fstat", *target);
  if (!S_ISREG(info.st_mode))
    return absl::FailedPreconditionError(base::StrCat(*target, " is in the way and is not a file"));
  if (::ftruncate(file->get(), 0) < 0) return base::ErrnoStatus("truncate", *target);
  file_ = std::move(*file);
  ++files_;
  return absl::OkStatus();
}

absl::Status TarExtractor::Data(std::string_view bytes) {
  if (!file_.ok()) return absl::OkStatus();  // of an entry that is left out
  while (!bytes.empty()) {
    const ssize_t put = ::write(file_.get(), bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return base::ErrnoStatus("write");
    bytes.remove_prefix(static_cast<size_t>(put));
  }
  return absl::OkStatus();
}

}  // namespace keelson::nodectl
