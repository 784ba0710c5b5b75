// SPDX-License-Identifier: Apache-2.0
#include "tools/nodectl/table.h"

#include <algorithm>

namespace keelson::nodectl {
namespace {

constexpr size_t kGap = 3;
constexpr size_t kTabGap = 2;

std::string_view Sequence(Color color) {
  switch (color) {
    case Color::kNone:
      return "";
    case Color::kGreen:
      return "\033[32m";
    case Color::kYellow:
      return "\033[33m";
    case Color::kRed:
      return "\033[31m";
    case Color::kBold:
      return "\033[1m";
  }
  return "";
}

std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (;;) {
    const size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == text.npos) return parts;
    text.remove_prefix(end + 1);
  }
}

void AppendRow(const std::vector<Cell>& row, const std::vector<size_t>& widths, bool color,
               std::string* out) {
  for (size_t i = 0; i < row.size(); ++i) {
    const bool colored = color && row[i].color != Color::kNone && !row[i].text.empty();
    if (colored) out->append(Sequence(row[i].color));
    out->append(row[i].text);
    if (colored) out->append("\033[0m");
    if (i + 1 < row.size()) out->append(widths[i] + kGap - DisplayWidth(row[i].text), ' ');
  }
  out->push_back('\n');
}

}  // namespace

size_t DisplayWidth(std::string_view utf8) {
  return std::ranges::count_if(
      utf8, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

std::string Printable(std::string_view text, bool lines) {
  std::string out;
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7F)
      out += c;
    else if (c == '\n' && lines)
      out += c;
    else if (c == '\n')
      out += "\\n";
    else if (c == '\t')
      out += "    ";
    else if (byte == 0x7F)
      out += "^?";
    else
      (out += '^') += static_cast<char>(byte + 0x40);
  }
  return out;
}

std::string Table::Render(bool color) const {
  std::vector<size_t> widths;
  for (const std::string& name : header_) widths.push_back(DisplayWidth(name));
  for (const auto& row : rows_)
    for (size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], DisplayWidth(row[i].text));
  std::vector<Cell> header;
  for (const std::string& name : header_) header.emplace_back(name, Color::kBold);
  std::string out;
  AppendRow(header, widths, color, &out);
  for (const auto& row : rows_) AppendRow(row, widths, color, &out);
  return out;
}

std::string AlignTabs(std::string_view text) {
  std::vector<std::vector<std::string>> lines;
  for (const std::string& line : Split(text, '\n')) lines.push_back(Split(line, '\t'));
  size_t columns = 0;
  for (const auto& line : lines) columns = std::max(columns, line.size());
  // Only a cell with a tab behind it has a width; a line without one ends the block.
  for (size_t column = 0; column + 1 < columns; ++column) {
    for (size_t first = 0; first < lines.size(); ++first) {
      size_t end = first, width = 0;
      for (; end < lines.size() && lines[end].size() > column + 1; ++end)
        width = std::max(width, DisplayWidth(lines[end][column]));
      for (size_t i = first; i < end; ++i)
        lines[i][column].append(width + kTabGap - DisplayWidth(lines[i][column]), ' ');
      first = end;
    }
  }
  std::string out;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out += '\n';
    for (const std::string& cell : lines[i]) out += cell;
  }
  return out;
}

}  // namespace keelson::nodectl
