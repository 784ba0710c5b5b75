// SPDX-License-Identifier: Apache-2.0
// Every manifest of test/corpus/bad beside a good one: it is told about in the expected words, and
// the good pod never notices. What is too large for the repository is made here.
#include <algorithm>
#include <fstream>
#include <sstream>

#include "test/integration/sources/file_source_fixture.h"

namespace keelson::kubelet::sources {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

struct Bad {
  std::string file;      // in the corpus
  std::string expected;  // a part of the message
};

std::vector<Bad> Corpus() {
  std::ifstream table(KEELSON_BAD_MANIFESTS "/expected.tsv");
  std::vector<Bad> all;
  for (std::string line; std::getline(table, line);) {
    const size_t tab = line.find('\t');
    all.push_back({line.substr(0, tab), line.substr(tab + 1)});
  }
  return all;
}

class BadManifests : public FileSourceTest {
 protected:
  // Puts the text beside a running good pod and returns what was said about it.
  std::string Said(const std::string& name, std::string_view text) {
    problems_.clear();
    Put(name, text);
    Await([&] { return !problems_.empty(); });
    EXPECT_THAT(problems_, SizeIs(1));
    EXPECT_EQ(problems_.at(0).object, dir_ / name);
    EXPECT_EQ(problems_.at(0).message.find('\n'), std::string::npos);
    const PodPtr good = Find("good-n1");
    EXPECT_EQ(good, good_) << "the neighbour was touched";
    return problems_.at(0).message;
  }
  void Remove(const std::string& name) { std::filesystem::remove(dir_ / name); }
  void StartGood() {
    Put("good.yaml", Pod("good"));
    Start();
    good_ = Find("good-n1");
    ASSERT_NE(good_, nullptr);
  }

  PodPtr good_;
};

TEST_F(BadManifests, EachSaysWhatIsWrongAndHurtsNobody) {
  StartGood();
  const auto corpus = Corpus();
  ASSERT_GE(corpus.size(), 40u);
  for (const Bad& bad : corpus) {
    std::ifstream file(std::string(KEELSON_BAD_MANIFESTS "/") + bad.file, std::ios::binary);
    ASSERT_TRUE(file) << bad.file;
    std::stringstream text;
    text << file.rdbuf();
    const std::string said = Said(bad.file, text.str());
    EXPECT_THAT(said, HasSubstr(bad.expected));
    EXPECT_THAT(said, HasSubstr(bad.file));
    Remove(bad.file);
  }
}

TEST_F(BadManifests, EveryFileOfTheCorpusIsInTheTable) {
  std::set<std::string> listed = {"expected.tsv"};
  for (const Bad& bad : Corpus()) listed.insert(bad.file);
  for (const auto& entry : std::filesystem::directory_iterator(KEELSON_BAD_MANIFESTS)) {
    EXPECT_TRUE(listed.contains(entry.path().filename())) << entry.path();
  }
}

TEST_F(BadManifests, AFileOverTheLimitIsNotRead) {
  StartGood();
  const std::string said = Said("big.yaml", Pod("big") + std::string(10 << 20, '#'));
  EXPECT_THAT(said, HasSubstr("bytes are too many for a manifest, at most 10485760 are read"));
}

TEST_F(BadManifests, TenMegabytesOfOneLineAreRefused) {
  StartGood();
  const std::string said = Said("line.yaml", Pod("line") + "a: " + std::string(10'000'000, 'x'));
  EXPECT_THAT(said, HasSubstr("line.yaml"));
}

TEST_F(BadManifests, TenMegabytesOfListAreBounded) {
  StartGood();
  std::string text = "[";
  while (text.size() < (10u << 20) - 100) text += "1,";
  const std::string said = Said("list.json", text + "1]");
  EXPECT_THAT(said, ::testing::ContainsRegex("more than [0-9]+ values"));
}

TEST_F(BadManifests, ABigGoodManifestIsReadOnThePoolAndRuns) {
  StartGood();
  std::string text;
  for (int i = 0; i < 6'000; ++i) text += "# a comment of no use to anybody\n";
  Put("large.yaml", text + Pod("large"));
  Await([&] { return pods_.size() == 2 || !problems_.empty(); });
  EXPECT_THAT(Names(), ::testing::ElementsAre("good-n1", "large-n1"));
  if (!problems_.empty()) ADD_FAILURE() << problems_[0].message;
}

TEST_F(BadManifests, AllAtOnceLeaveTheGoodOneAlone) {
  Put("good.yaml", Pod("good"));
  for (const auto& entry : std::filesystem::directory_iterator(KEELSON_BAD_MANIFESTS)) {
    std::filesystem::copy(entry.path(), dir_);
  }
  Start();
  EXPECT_NE(Find("good-n1"), nullptr);
  EXPECT_GE(problems_.size(), 40u);
}

}  // namespace
}  // namespace keelson::kubelet::sources
