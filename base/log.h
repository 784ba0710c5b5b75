// SPDX-License-Identifier: Apache-2.0
// Structured logging in klog's shape: a fixed message and key=value pairs, one line an entry.
// Any thread; one write(2) per entry, so lines do not mix. To stderr as text or JSON, or to the
// journal with its native fields when stderr is the journal (sd_journal_send(3)).
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "base/strings.h"

namespace keelson::base {

enum class Severity { kDebug, kInfo, kWarning, kError };
enum class LogFormat { kText, kJson };

struct LogOptions {
  LogFormat format = LogFormat::kText;
  int verbosity = 0;        // V(n) entries up to this level are written
  bool to_journal = false;  // see StderrIsJournal()
};

// REQUIRES: called before threads start, or with no logging in flight.
void InitLogging(const LogOptions& options);
bool StderrIsJournal();
bool LogEnabled(int verbosity);

struct LogField {
  template <typename T>
  LogField(std::string_view k, const T& v) : key(k), value(StrCat(v)) {}
  LogField(std::string_view k, const absl::Status& v) : key(k), value(v.ToString(absl::StatusToStringMode::kWithNoExtraData)) {}
  std::string_view key;
  std::string value;
};

void Log(Severity severity, const char* file, int line, std::string_view message,
         std::initializer_list<LogField> fields);

}  // namespace keelson::base

#define KLOG_AT(severity, message, ...)                                                  \
  ::keelson::base::Log(::keelson::base::Severity::severity, __FILE__, __LINE__, message, \
                       {__VA_ARGS__})
// KLOG_INFO("Container started", {"pod", name}, {"id", id});
#define KLOG_INFO(message, ...) KLOG_AT(kInfo, message, __VA_ARGS__)
#define KLOG_WARNING(message, ...) KLOG_AT(kWarning, message, __VA_ARGS__)
#define KLOG_ERROR(message, ...) KLOG_AT(kError, message, __VA_ARGS__)
#define KLOG_V(level, message, ...)           \
  do {                                        \
    if (::keelson::base::LogEnabled(level))   \
      KLOG_AT(kDebug, message, __VA_ARGS__);  \
  } while (false)
