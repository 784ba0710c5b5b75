// SPDX-License-Identifier: Apache-2.0
#include "kubelet/stats/profile.h"

#include <cinttypes>
#include <cstdio>
#include <map>

#include "proto/pprof/profile.pb.h"

namespace keelson::kubelet {
namespace {

class Encoder {
 public:
  explicit Encoder(std::string_view maps) {
    Word("");
    while (!maps.empty()) {
      const size_t end = std::min(maps.find('\n'), maps.size());
      AddMapping(std::string(maps.substr(0, end)));
      maps.remove_prefix(std::min(end + 1, maps.size()));
    }
  }

  std::string Encode(const CpuSamples& samples) {
    AddType("samples", "count", profile_.add_sample_type());
    AddType("cpu", "nanoseconds", profile_.add_sample_type());
    AddType("cpu", "nanoseconds", profile_.mutable_period_type());
    profile_.set_period(samples.period.count());
    profile_.set_time_nanos(base::ToUnixNanos(samples.began));
    profile_.set_duration_nanos(samples.lasted.count());
    std::map<std::vector<uintptr_t>, int64_t> counts;
    for (const auto& stack : samples.stacks) ++counts[stack];
    for (const auto& [stack, count] : counts) {
      pprof::Sample* sample = profile_.add_sample();
      for (size_t i = 0; i < stack.size(); ++i)
        // A return address is one behind its call; the innermost is where it really was.
        sample->add_location_id(LocationOf(i == 0 ? stack[i] : stack[i] - 1));
      sample->add_value(count);
      sample->add_value(count * samples.period.count());
    }
    return profile_.SerializeAsString();
  }

 private:
  int64_t Word(const std::string& text) {
    auto [it, added] = words_.try_emplace(text, static_cast<int64_t>(words_.size()));
    if (added) profile_.add_string_table(text);
    return it->second;
  }

  void AddType(const char* type, const char* unit, pprof::ValueType* out) {
    out->set_type(Word(type));
    out->set_unit(Word(unit));
  }

  // "start-end perms offset dev inode path" of what can be executed.
  void AddMapping(const std::string& line) {
    uint64_t start = 0, end = 0, offset = 0;
    char permissions[5] = {};
    int path = 0;
    if (std::sscanf(line.c_str(), "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*s %*s %n", &start,
                    &end, permissions, &offset, &path) < 4 ||
        permissions[2] != 'x' || path == 0)
      return;
    pprof::Mapping* mapping = profile_.add_mapping();
    mapping->set_id(static_cast<uint64_t>(profile_.mapping_size()));
    mapping->set_memory_start(start);
    mapping->set_memory_limit(end);
    mapping->set_file_offset(offset);
    mapping->set_filename(Word(line.substr(static_cast<size_t>(path))));
  }

  uint64_t LocationOf(uintptr_t address) {
    auto [it, added] = locations_.try_emplace(address, locations_.size() + 1);
    if (!added) return it->second;
    pprof::Location* location = profile_.add_location();
    location->set_id(it->second);
    location->set_address(address);
    for (const pprof::Mapping& mapping : profile_.mapping())
      if (address >= mapping.memory_start() && address < mapping.memory_limit())
        location->set_mapping_id(mapping.id());
    return it->second;
  }

  pprof::Profile profile_;
  std::map<std::string, int64_t> words_;
  std::map<uintptr_t, uint64_t> locations_;
};

}  // namespace

std::string EncodeProfile(const CpuSamples& samples, std::string_view maps) {
  return Encoder(maps).Encode(samples);
}

}  // namespace keelson::kubelet
