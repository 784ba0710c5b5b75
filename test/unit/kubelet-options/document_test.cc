// SPDX-License-Identifier: Apache-2.0
// docs/configuration.md and the code say the same: every flag, field and default, and what is acted on.
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/strings.h"
#include "kubelet/options/flags.h"
#include "kubelet/options/options.h"
#include "kubelet/options/parts.h"
#include "proto/codec/codec.h"
#include "proto/options.pb.h"

namespace keelson::kubelet {
namespace {

struct Row {
  std::string field, flag, fallback, acted_on;
};

std::string Bare(std::string_view cell) {
  const size_t first = cell.find_first_not_of(" `");
  if (first == std::string_view::npos) return "";
  return std::string(cell.substr(first, cell.find_last_not_of(" `") - first + 1));
}

// The rows of tables with five columns, without their headings.
std::vector<Row> ReadRows() {
  auto text = base::ReadFile(KEELSON_SOURCE_DIR "/docs/configuration.md");
  EXPECT_TRUE(text.ok()) << text.status();
  std::vector<Row> rows;
  std::string_view rest = text.ok() ? std::string_view(*text) : "";
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    std::vector<std::string> cells;
    for (size_t bar = line.find('|'); bar != std::string_view::npos;) {
      const size_t next = line.find('|', bar + 1);
      if (next != std::string_view::npos) cells.push_back(Bare(line.substr(bar + 1, next - bar - 1)));
      bar = next;
    }
    if (cells.size() != 5 || cells[0] == "field" || cells[0].starts_with("---")) continue;
    rows.push_back({cells[0], cells[1], cells[2], cells[4]});
  }
  return rows;
}

// Fields that hold one value, by their dotted names.
void Leaves(const google::protobuf::Descriptor& type, const std::string& prefix,
            std::vector<std::string>* names) {
  for (int i = 0; i < type.field_count(); ++i) {
    const auto& field = *type.field(i);
    const auto* inner = field.message_type();
    const std::string name = prefix + std::string(field.name());
    if (!field.is_repeated() && inner != nullptr && !inner->options().HasExtension(proto::form))
      Leaves(*inner, name + ".", names);
    else
      names->push_back(name);
  }
}

bool ActsOn(const std::string& name) {
  // Settings are known by field and, below logging and access, by the first member.
  KubeletOptions options;
  const size_t dot = name.find('.');
  const size_t second = dot == std::string::npos ? dot : name.find('.', dot + 1);
  const bool by_member = name.starts_with("logging.") || name.starts_with("auth");
  options.set_explicitly = {name.substr(0, by_member ? second : dot)};
  return NotYetActedOn(options).empty();
}

std::string Plain(const proto::Value& value) {
  if (value.kind == proto::Value::Kind::kBool) return value.boolean ? "true" : "false";
  std::string text = value.text;
  for (const proto::Value& item : value.items) base::StrAppend(&text, text.empty() ? "" : ",", item.text);
  return text;
}

TEST(ConfigurationPage, ListsEveryFieldOnceAndNoOther) {
  std::map<std::string, int> listed;
  for (const Row& row : ReadRows())
    if (!row.field.empty()) ++listed[row.field];
  std::vector<std::string> fields;
  Leaves(*Configuration::descriptor(), "", &fields);
  for (const std::string& field : fields) {
    EXPECT_EQ(listed[field], 1) << field;
    listed.erase(field);
  }
  for (const auto& [field, count] : listed) ADD_FAILURE() << "no such field: " << field;
}

TEST(ConfigurationPage, ListsEveryFlagBesideItsField) {
  std::map<std::string, std::string> listed;
  for (const Row& row : ReadRows())
    if (!row.flag.empty()) listed[row.flag] = row.field;
  for (const FlagSpec& flag : AllFlags()) {
    const std::string name = base::StrCat("--", flag.name);
    ASSERT_TRUE(listed.contains(name)) << name;
    EXPECT_EQ(listed[name], flag.field) << name;
    listed.erase(name);
  }
  for (const auto& [flag, field] : listed) ADD_FAILURE() << "no such flag: " << flag;
}

TEST(ConfigurationPage, SaysWhatIsActedOn) {
  for (const Row& row : ReadRows()) {
    const std::string& name = row.field.empty() ? row.flag : row.field;
    EXPECT_EQ(row.acted_on == "yes", ActsOn(name)) << name << ": " << row.acted_on;
    EXPECT_TRUE(row.acted_on == "yes" || row.acted_on == "not yet" || row.acted_on == "no effect")
        << name << ": " << row.acted_on;
  }
}

TEST(ConfigurationPage, HasTheDefaults) {
  auto tree = proto::EncodeTree(FixedDefaults());
  auto zeros = proto::EncodeTree(Configuration());
  ASSERT_TRUE(tree.ok() && zeros.ok());
  for (const Row& row : ReadRows()) {
    if (row.field.empty()) {
      EXPECT_EQ(row.fallback, FindFlag(std::string_view(row.flag).substr(2))->fallback) << row.flag;
      continue;
    }
    // Some fields are written out even when they are unset.
    const proto::Value* value = Lookup(*tree, row.field);
    const proto::Value* zero = Lookup(*zeros, row.field);
    const std::string text = value == nullptr ? "" : Plain(*value);
    const bool unset = value == nullptr || (zero != nullptr && Plain(*zero) == text);
    EXPECT_EQ(row.fallback, unset ? "" : text) << row.field;
  }
}

TEST(PackagedConfiguration, IsAcceptedWithoutAWarning) {
  const char* argv[] = {"kubelet", "--config=" KEELSON_SOURCE_DIR "/packaging/kubelet.yaml"};
  auto loaded = LoadOptions(2, argv);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_TRUE(loaded->options.warnings.empty());
  EXPECT_EQ(loaded->options.config.staticpodpath(), "/etc/kubernetes/manifests");
}

}  // namespace
}  // namespace keelson::kubelet
