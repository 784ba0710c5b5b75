// SPDX-License-Identifier: Apache-2.0
// /logs/?query=...: logs of the node's services and files (KEP-2258), with enableSystemLogQuery.
//
// Services are read from the journal through libsystemd, on the pool. A service the journal has not
// heard of is looked for among the files: <name>, <name>.log, <name>/<name>.log below the log
// folder.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "kubelet/server/http_server.h"

namespace keelson::kubelet {

struct NodeLogQuery {
  std::vector<std::string> services;
  std::vector<std::string> files;  // words with a slash in them
  std::optional<base::WallTime> since, until;
  std::optional<int64_t> tail_lines;
  std::optional<int64_t> boot;  // 0: this one, -1: the one before
  std::string pattern;          // RE2; ignores case when it has no capital, as journalctl

  bool has_options() const {
    return since || until || tail_lines || boot || !pattern.empty();
  }
};

// InvalidArgument, for 400: a word that is no number or time, or an empty query.
absl::StatusOr<NodeLogQuery> ParseNodeLogQuery(const Query& query);
// InvalidArgument, for 406: words that are understood and cannot be served. Upstream's rules.
absl::Status ValidateNodeLogQuery(const NodeLogQuery& query);

// An entry as journalctl prints it: Oct 16 21:03:43.123456 node kubelet[12]: message
struct JournalEntry {
  base::WallTime at;
  std::string host, identifier, pid, message;
};
std::string ShortPrecise(const JournalEntry& entry);

// Serves /logs/{path*}: queries, and files as ServeSystemLog does.
class NodeLogEndpoint {
 public:
  NodeLogEndpoint(base::Loop& loop, std::string log_dir)
      : loop_(loop), log_dir_(std::move(log_dir)) {}
  // `routes` are served while this lives.
  void AddRoutes(HttpRoutes& routes);

 private:
  base::Task<void> Get(const HttpRequest& request, Responder& responder);

  base::Loop& loop_;
  const std::string log_dir_;
};

// Blocking. What the query asks for, or words on why there is nothing, as upstream answers; at most
// 16 MiB, the latest of it with tail_lines. `journal_dir`: other journals than the node's, for
// tests.
std::string ReadNodeLogs(const NodeLogQuery& query, const std::string& log_dir,
                         const std::string& journal_dir = {});

}  // namespace keelson::kubelet
