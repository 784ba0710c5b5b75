// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target without libFuzzer: every file of a corpus folder, then random mutations of
// them.
//   driver CORPUS-FOLDER [RUNS [SEED]]
// The seed is printed first; the same seed and corpus give the same inputs.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr size_t kMaxInput = 64 << 10;

std::vector<std::string> ReadCorpus(const char* folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.is_regular_file()) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> corpus;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return corpus;
}

class Mutator {
 public:
  Mutator(const std::vector<std::string>& corpus, uint32_t seed) : corpus_(corpus), random_(seed) {}

  std::string Next() {
    std::string input = Pick();
    for (size_t steps = 1 + Below(6); steps > 0; --steps) Mutate(&input);
    if (input.size() > kMaxInput) input.resize(kMaxInput);
    return input;
  }

 private:
  size_t Below(size_t limit) { return limit == 0 ? 0 : random_() % limit; }
  const std::string& Pick() { return corpus_[Below(corpus_.size())]; }

  void Mutate(std::string* input) {
    const size_t at = Below(input->size() + 1);
    const size_t length = Below(std::min<size_t>(input->size() - at, 64) + 1);
    switch (Below(7)) {
      case 0:
        input->insert(at, 1, static_cast<char>(Below(256)));
        break;
      case 1:
        input->erase(at, length);
        break;
      case 2:
        input->insert(at, input->substr(at, length));
        break;
      case 3: {
        const std::string& other = Pick();
        const size_t from = Below(other.size());
        input->insert(at, other.substr(from, Below(128)));
        break;
      }
      case 4:
        if (at < input->size()) (*input)[at] = static_cast<char>((*input)[at] ^ (1 << Below(8)));
        break;
      case 5: {
        static constexpr const char* kPieces[] = {
            "{",      "}",  "[",   "]",  ":",     ": ", ",",    "\"",
            "'",      "\n", "  ",  "- ", "&a ",   "*a", "<<: ", "!!str ",
            "!!int ", "|",  ">",   "#",  "---\n", "? ", "\\u",  "null",
            "true",   "0x", "1e9", "-",  ".",     "~",  "\t",   "\xEF\xBB\xBF",
            "%",      "@"};
        input->insert(at, kPieces[Below(std::size(kPieces))]);
        break;
      }
      default:
        for (size_t i = Below(200); i > 0; --i) input->insert(at, input->substr(at, 1 + Below(3)));
        if (input->size() > kMaxInput) input->resize(kMaxInput);
        break;
    }
  }

  const std::vector<std::string>& corpus_;
  std::mt19937 random_;
};

void Run(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s CORPUS-FOLDER [RUNS [SEED]]\n", argv[0]);
    return 2;
  }
  const std::vector<std::string> corpus = ReadCorpus(argv[1]);
  if (corpus.empty()) {
    std::fprintf(stderr, "%s: no files\n", argv[1]);
    return 2;
  }
  const unsigned long runs = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 1000;
  const uint32_t seed =
      argc > 3 ? static_cast<uint32_t>(std::strtoul(argv[3], nullptr, 10)) : std::random_device()();
  std::printf("%zu files, %lu runs, seed %u\n", corpus.size(), runs, seed);
  std::fflush(stdout);
  for (const std::string& input : corpus) Run(input);
  Mutator mutator(corpus, seed);
  for (unsigned long i = 0; i < runs; ++i) Run(mutator.Next());
  return 0;
}
