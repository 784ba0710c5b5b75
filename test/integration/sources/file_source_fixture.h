// SPDX-License-Identifier: Apache-2.0
// A real directory, a real loop, and what a FileSource said.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/strings.h"
#include "kubelet/sources/file_source.h"

namespace keelson::kubelet::sources {

class FileSourceTest : public ::testing::Test {
 protected:
  FileSourceTest() {
    char name[] = "/tmp/kl-sources-XXXXXX";
    root_ = ::mkdtemp(name);
    dir_ = root_ / "manifests";
    std::filesystem::create_directory(dir_);
  }
  ~FileSourceTest() override {
    Stop();
    std::filesystem::remove_all(root_);
  }

  static std::string Pod(std::string_view name, std::string_view image = "i:1") {
    return base::StrCat("apiVersion: v1\nkind: Pod\nmetadata: {name: ", name,
                        "}\nspec: {containers: [{name: c, image: '", image, "'}]}\n");
  }

  // Begins to watch and waits for the first update.
  void Start(std::string path = "", base::Nanos rescan = std::chrono::hours(1)) {
    Begin(std::move(path), rescan);
    Await([&] { return updates_ == 1; });
  }
  void Begin(std::string path, base::Nanos rescan) {
    source_ = std::make_unique<FileSource>(
        loop_,
        FileSource::Options{.path = path.empty() ? dir_.string() : path, .node_name = "n1",
                            .rescan = rescan},
        [this](SourceUpdate update) {
          ++updates_;
          pods_ = std::move(update.pods);
        },
        [this](SourceProblem problem) { problems_.push_back(std::move(problem)); });
    source_->Start();
  }
  void Stop() {
    if (source_ == nullptr) return;
    base::TaskGroup group(loop_);
    group.Spawn("stop", source_->Stop());
    while (group.size() > 0 && loop_.io().run_one() > 0) continue;
    source_.reset();
  }

  // Runs the loop until `done`; fails the test after ten seconds.
  void Await(const std::function<bool()>& done) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!done()) {
      loop_.io().restart();
      if (std::chrono::steady_clock::now() > end) FAIL() << "waited in vain";
      loop_.io().run_one_until(end);
    }
  }
  void AwaitPods(std::vector<std::string> names) {
    Await([&] { return Names() == names; });
    EXPECT_EQ(Names(), names);
  }
  void AwaitProblems(size_t count) {
    Await([&] { return problems_.size() >= count; });
    EXPECT_EQ(problems_.size(), count);
  }
  // Makes a change that is seen by its own update, so that all earlier events were handled.
  void Settle() {
    const size_t before = updates_;
    Put("zz-settle.yaml", Pod(base::StrCat("zz-", ++settled_)));
    Await([&] { return updates_ > before; });
  }

  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& pod : pods_) {
      if (!pod->metadata().name().starts_with("zz-")) names.push_back(pod->metadata().name());
    }
    return names;
  }
  PodPtr Find(std::string_view name) const {
    for (const auto& pod : pods_) {
      if (pod->metadata().name() == name) return pod;
    }
    return nullptr;
  }

  // As kubeadm and editors do: whole files appear by rename.
  void Put(const std::string& name, std::string_view text) {
    Write(root_ / "new", text);
    std::filesystem::rename(root_ / "new", dir_ / name);
  }
  static void Write(const std::filesystem::path& path, std::string_view text) {
    std::ofstream(path, std::ios::binary) << text;
  }

  std::filesystem::path root_, dir_;
  base::Loop loop_;
  std::unique_ptr<FileSource> source_;
  size_t updates_ = 0;
  int settled_ = 0;
  std::vector<PodPtr> pods_;
  std::vector<SourceProblem> problems_;
};

}  // namespace keelson::kubelet::sources
