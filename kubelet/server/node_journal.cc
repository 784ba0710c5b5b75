// SPDX-License-Identifier: Apache-2.0
// The part of node log queries that reads the journal and files: on the pool.
#include <fcntl.h>
#include <re2/re2.h>
#include <sys/stat.h>
#include <systemd/sd-id128.h>
#include <systemd/sd-journal.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstring>
#include <memory>

#include "base/files.h"
#include "base/strings.h"
#include "kubelet/server/node_log_query.h"

namespace keelson::kubelet {
namespace {

using base::StrCat;

constexpr size_t kMaxAnswer = 16 << 20;
constexpr std::chrono::seconds kLongest(30);  // upstream's patience

using Journal = std::unique_ptr<sd_journal, void (*)(sd_journal*)>;

Journal OpenJournal(const std::string& dir) {
  sd_journal* journal = nullptr;
  const int opened = dir.empty() ? ::sd_journal_open(&journal, SD_JOURNAL_LOCAL_ONLY)
                                 : ::sd_journal_open_directory(&journal, dir.c_str(), 0);
  return Journal(opened < 0 ? nullptr : journal, ::sd_journal_close);
}

std::string Field(sd_journal* journal, const char* name) {
  const void* data = nullptr;
  size_t size = 0;
  if (::sd_journal_get_data(journal, name, &data, &size) < 0) return "";
  const size_t skip = std::strlen(name) + 1;  // NAME=
  return std::string(static_cast<const char*>(data) + skip, size - skip);
}

// As upstream: the service is native when some unit's name has <service>.service in it.
bool InJournal(sd_journal* journal, const std::string& service) {
  if (journal == nullptr || ::sd_journal_query_unique(journal, "_SYSTEMD_UNIT") < 0) return false;
  const void* data = nullptr;
  size_t size = 0;
  while (::sd_journal_enumerate_unique(journal, &data, &size) > 0)
    if (std::string_view(static_cast<const char*>(data), size).find(service + ".service") !=
        std::string_view::npos)
      return true;
  return false;
}

std::string UnitName(const std::string& service) {
  for (const char* suffix : {".service", ".socket", ".mount", ".slice", ".scope", ".timer"})
    if (service.ends_with(suffix)) return service;
  return service + ".service";
}

// The boot `offset` before this one by the time of its first entry; empty when there is none.
std::string BootId(sd_journal* journal, int64_t offset) {
  if (offset == 0) {
    sd_id128_t own;
    char text[SD_ID128_STRING_MAX];
    return ::sd_id128_get_boot(&own) < 0 ? "" : ::sd_id128_to_string(own, text);
  }
  std::vector<std::string> ids;
  const void* data = nullptr;
  size_t size = 0;
  if (::sd_journal_query_unique(journal, "_BOOT_ID") < 0) return "";
  while (::sd_journal_enumerate_unique(journal, &data, &size) > 0)
    ids.emplace_back(static_cast<const char*>(data), size);
  std::vector<std::pair<uint64_t, std::string>> boots;
  for (const std::string& match : ids) {
    ::sd_journal_flush_matches(journal);
    ::sd_journal_add_match(journal, match.data(), match.size());
    uint64_t first = 0;
    if (::sd_journal_seek_head(journal) >= 0 && ::sd_journal_next(journal) > 0 &&
        ::sd_journal_get_realtime_usec(journal, &first) >= 0)
      boots.emplace_back(first, match.substr(match.find('=') + 1));
  }
  ::sd_journal_flush_matches(journal);
  std::ranges::sort(boots);
  const int64_t index = static_cast<int64_t>(boots.size()) - 1 + offset;
  return index < 0 ? "" : boots[static_cast<size_t>(index)].second;
}

void AddMatches(sd_journal* journal, const NodeLogQuery& query, const std::string& boot) {
  ::sd_journal_flush_matches(journal);
  for (const std::string& service : query.services) {
    const std::string unit = UnitName(service);
    ::sd_journal_add_match(journal, StrCat("_SYSTEMD_UNIT=", unit).c_str(), 0);
    ::sd_journal_add_disjunction(journal);
    // What systemd itself says of the unit.
    ::sd_journal_add_match(journal, "_PID=1", 0);
    ::sd_journal_add_match(journal, StrCat("UNIT=", unit).c_str(), 0);
    ::sd_journal_add_disjunction(journal);
  }
  if (boot.empty()) return;
  ::sd_journal_add_conjunction(journal);
  ::sd_journal_add_match(journal, StrCat("_BOOT_ID=", boot).c_str(), 0);
}

uint64_t Micros(base::WallTime time) {
  return static_cast<uint64_t>(std::max<int64_t>(base::ToUnixNanos(time) / 1000, 0));
}

// Entries in order; with tail_lines read from the end.
std::string ReadEntries(sd_journal* journal, const NodeLogQuery& query) {
  RE2::Options options;
  options.set_log_errors(false);
  options.set_case_sensitive(std::ranges::any_of(query.pattern, [](unsigned char c) {
    return std::isupper(c);
  }));
  const RE2 pattern(query.pattern, options);
  const bool backward = query.tail_lines.has_value();
  if (backward && query.until) ::sd_journal_seek_realtime_usec(journal, Micros(*query.until));
  else if (backward) ::sd_journal_seek_tail(journal);
  else if (query.since) ::sd_journal_seek_realtime_usec(journal, Micros(*query.since));
  else ::sd_journal_seek_head(journal);
  const auto deadline = std::chrono::steady_clock::now() + kLongest;
  std::vector<std::string> lines;
  size_t size = 0;
  while ((backward ? ::sd_journal_previous(journal) : ::sd_journal_next(journal)) > 0) {
    if (std::chrono::steady_clock::now() > deadline || size > kMaxAnswer) break;
    if (backward && static_cast<int64_t>(lines.size()) >= *query.tail_lines) break;
    uint64_t at = 0;
    if (::sd_journal_get_realtime_usec(journal, &at) < 0) continue;
    if (backward ? query.since && at < Micros(*query.since)
                 : query.until && at > Micros(*query.until))
      break;
    JournalEntry entry;
    entry.message = Field(journal, "MESSAGE");
    if (!query.pattern.empty() && !RE2::PartialMatch(entry.message, pattern)) continue;
    entry.at = base::FromUnixNanos(static_cast<int64_t>(at) * 1000);
    entry.host = Field(journal, "_HOSTNAME");
    entry.identifier = Field(journal, "SYSLOG_IDENTIFIER");
    if (entry.identifier.empty()) entry.identifier = Field(journal, "_COMM");
    entry.pid = Field(journal, "SYSLOG_PID");
    if (entry.pid.empty()) entry.pid = Field(journal, "_PID");
    lines.push_back(ShortPrecise(entry));
    size += lines.back().size();
  }
  if (backward) std::ranges::reverse(lines);
  std::string text;
  for (const std::string& line : lines) text += line;
  return text.empty() ? "-- No entries --\n" : text;
}

std::string ReadLogFile(const std::string& log_dir, const std::string& service) {
  auto dir = base::OpenDir(log_dir);
  if (!dir.ok())
    return StrCat("\nerror getting log for ", service, ": ", base::Message(dir.status()), "\n");
  for (const std::string& name :
       {service, service + ".log", StrCat(service, "/", service, ".log")}) {
    auto file = base::OpenInRoot(dir->get(), name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st = {};
    if (!file.ok() || ::fstat(file->get(), &st) < 0 || !S_ISREG(st.st_mode)) continue;
    auto text = base::ReadFd(file->get(), kMaxAnswer, name);
    if (text.ok()) return *std::move(text);
    return StrCat("\nerror getting log for ", service, ": ", base::Message(text.status()), "\n");
  }
  return StrCat("\nlog not found for ", service, "\n");
}

}  // namespace

std::string ReadNodeLogs(const NodeLogQuery& query, const std::string& log_dir,
                         const std::string& journal_dir) {
  const Journal journal = OpenJournal(journal_dir);
  NodeLogQuery native = query;
  std::vector<std::string> files;
  native.services.clear();
  for (const std::string& service : query.services)
    (InJournal(journal.get(), service) ? native.services : files).push_back(service);
  if (!files.empty() && query.has_options()) {
    std::string names;
    for (const std::string& file : files) base::StrAppend(&names, names.empty() ? "" : " ", file);
    return StrCat("\noptions present and query resolved to log files for [", names,
                  "]\ntry without specifying options\n");
  }
  std::string text;
  if (!files.empty()) {
    for (const std::string& file : files) text += ReadLogFile(log_dir, file);
    return text;
  }
  const std::string boot = query.boot ? BootId(journal.get(), *query.boot) : "";
  if (query.boot && boot.empty()) return "\nerror: journal output not available\n";
  AddMatches(journal.get(), native, boot);
  return ReadEntries(journal.get(), query);
}

}  // namespace keelson::kubelet
