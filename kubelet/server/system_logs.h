// SPDX-License-Identifier: Apache-2.0
// /logs/: files of one directory, for reading; nothing outside it, by no symlink and no dots.
#pragma once

#include <string>
#include <vector>

#include "base/loop.h"
#include "kubelet/server/http_message.h"

namespace keelson::kubelet {

// Answers with the file `path` below `root`, or with a listing of the directory. A symlink is followed
// as long as it stays below `root`.
base::Task<void> ServeSystemLog(base::Loop& loop, std::string root, std::string path,
                                Responder& responder);

// The listing as Go's file server has it. Pure.
std::string ListingHtml(const std::vector<std::string>& names);

}  // namespace keelson::kubelet
