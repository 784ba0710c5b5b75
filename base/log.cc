// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <cjson/cJSON.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <syslog.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/log_level.h"
#include "base/time.h"

namespace keelson::base {
namespace {

LogOptions g_options;              // written before threads start
std::atomic<int> g_verbosity = 0;  // may change at any time

constexpr char kLetters[] = {'I', 'I', 'W', 'E'};
constexpr int kPriorities[] = {LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERR};

WallTime Now() {
  return std::chrono::time_point_cast<Nanos>(std::chrono::system_clock::now());
}

const char* BaseName(const char* file) {
  const char* slash = std::strrchr(file, '/');
  return slash ? slash + 1 : file;
}

// Bytes of the well-formed character at the front of `text` (RFC 3629); 0 when there is none.
size_t Utf8Length(std::string_view text) {
  auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = at(0);
  if (lead != 0 && lead < 0x80) return 1;
  size_t size = lead >= 0xc2 && lead < 0xe0 ? 2 : lead >= 0xe0 && lead < 0xf0 ? 3
                : lead >= 0xf0 && lead < 0xf5                                 ? 4
                                                                              : 0;
  if (size == 0 || text.size() < size) return 0;
  for (size_t i = 1; i < size; ++i)
    if ((at(i) & 0xc0) != 0x80) return 0;
  // Longer than needed, a surrogate, or beyond the last code point.
  if ((lead == 0xe0 && at(1) < 0xa0) || (lead == 0xed && at(1) > 0x9f) ||
      (lead == 0xf0 && at(1) < 0x90) || (lead == 0xf4 && at(1) > 0x8f))
    return 0;
  return size;
}

// A value as Go's %q would show it: newlines of a hostile value must not forge a log line.
void AppendQuoted(std::string& out, std::string_view value) {
  out += '"';
  for (unsigned char c : value) {
    if (c == '"' || c == '\\') out += absl::StrFormat("\\%c", c);
    else if (c == '\n') out += "\\n";
    else if (c == '\t') out += "\\t";
    else if (c < 0x20 || c == 0x7f) out += absl::StrFormat("\\x%02x", c);
    else out += static_cast<char>(c);
  }
  out += '"';
}

// JSON is UTF-8; a byte of a hostile value that is not becomes U+FFFD.
std::string ValidUtf8(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t size = Utf8Length(text);
    if (size == 0) out += "\xef\xbf\xbd";
    else out += text.substr(0, size);
    text.remove_prefix(std::max<size_t>(size, 1));
  }
  return out;
}

std::string TextLine(Severity severity, const char* file, int line, std::string_view message,
                     std::initializer_list<LogField> fields) {
  int64_t nanos = ToUnixNanos(Now());
  std::time_t seconds = nanos / 1'000'000'000;
  std::tm tm{};
  ::localtime_r(&seconds, &tm);
  std::string out = absl::StrFormat(
      "%c%02d%02d %02d:%02d:%02d.%06d %7d %s:%d] ", kLetters[static_cast<int>(severity)],
      tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, nanos / 1000 % 1'000'000,
      ::getpid(), BaseName(file), line);
  AppendQuoted(out, message);
  for (const LogField& field : fields) {
    StrAppend(&out, " ", field.key, "=");
    AppendQuoted(out, field.value);
  }
  out += '\n';
  return out;
}

std::string JsonLine(Severity severity, const char* file, int line, std::string_view message,
                     std::initializer_list<LogField> fields) {
  std::unique_ptr<cJSON, decltype(&cJSON_Delete)> root(cJSON_CreateObject(), cJSON_Delete);
  cJSON_AddNumberToObject(root.get(), "ts",
                          static_cast<double>(ToUnixNanos(Now()) / 1000) / 1000.0);
  cJSON_AddStringToObject(root.get(), "caller",
                          StrCat(BaseName(file), ":", line).c_str());
  cJSON_AddStringToObject(root.get(), "msg", ValidUtf8(message).c_str());
  if (severity == Severity::kDebug || severity == Severity::kInfo)
    cJSON_AddNumberToObject(root.get(), "v", severity == Severity::kDebug ? 1 : 0);
  for (const LogField& field : fields)
    cJSON_AddStringToObject(root.get(), std::string(field.key).c_str(),
                            ValidUtf8(field.value).c_str());
  std::unique_ptr<char, decltype(&cJSON_free)> text(cJSON_PrintUnformatted(root.get()), cJSON_free);
  return text ? StrCat(text.get(), "\n") : std::string();
}

std::string JournalName(std::string_view key) {
  std::string name;
  for (char c : key)
    name += std::isalnum(static_cast<unsigned char>(c))
                ? static_cast<char>(std::toupper(static_cast<unsigned char>(c)))
                : '_';
  return name;
}

void ToJournal(Severity severity, const char* file, int line, std::string_view message,
               std::initializer_list<LogField> fields) {
  std::string shown(message);
  std::vector<std::string> entries = {
      "", StrCat("PRIORITY=", kPriorities[static_cast<int>(severity)]),
      StrCat("CODE_FILE=", BaseName(file)), StrCat("CODE_LINE=", line)};
  for (const LogField& field : fields) {
    entries.push_back(StrCat("KEELSON_", JournalName(field.key), "=", field.value));
    StrAppend(&shown, " ", field.key, "=");
    AppendQuoted(shown, field.value);
  }
  entries[0] = "MESSAGE=" + shown;
  std::vector<struct iovec> parts;
  for (std::string& entry : entries) parts.push_back({entry.data(), entry.size()});
  // A journal that is away loses lines, never the agent.
  static_cast<void>(sd_journal_sendv(parts.data(), static_cast<int>(parts.size())));
}

}  // namespace

void InitLogging(const LogOptions& options) {
  g_options = options;
  SetLogVerbosity(options.verbosity);
}

void SetLogVerbosity(int verbosity) { g_verbosity.store(verbosity, std::memory_order_relaxed); }

bool LogEnabled(int verbosity) {
  return verbosity <= g_verbosity.load(std::memory_order_relaxed);
}

// systemd.exec(5), $JOURNAL_STREAM: device and inode of the stream connected to the journal.
bool StderrIsJournal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat st {};
  if (stream == nullptr || ::fstat(STDERR_FILENO, &st) < 0) return false;
  return StrCat(st.st_dev, ":", st.st_ino) == stream;
}

void Log(Severity severity, const char* file, int line, std::string_view message,
         std::initializer_list<LogField> fields) {
  if (g_options.to_journal) return ToJournal(severity, file, line, message, fields);
  std::string text = g_options.format == LogFormat::kJson
                         ? JsonLine(severity, file, line, message, fields)
                         : TextLine(severity, file, line, message, fields);
  // A full or closed stderr loses the line.
  if (::write(STDERR_FILENO, text.data(), text.size()) < 0) return;
}

}  // namespace keelson::base
