// SPDX-License-Identifier: Apache-2.0
// Text for terminals: aligned columns, colours, nothing that a pod could use to drive the terminal.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace keelson::nodectl {

enum class Color { kNone, kGreen, kYellow, kRed, kBold };

struct Cell {
  Cell(std::string t, Color c = Color::kNone) : text(std::move(t)), color(c) {}  // NOLINT
  Cell(const char* t) : text(t) {}                                               // NOLINT
  std::string text;
  Color color = Color::kNone;
};

// Columns are as wide as their widest cell and three spaces, as kubectl's; the last is not padded.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : header_(std::move(header)) {}
  // REQUIRES: as many cells as the header has.
  void Add(std::vector<Cell> row) { rows_.push_back(std::move(row)); }
  bool empty() const { return rows_.empty(); }
  // With `color`, ANSI sequences around coloured cells and a bold header.
  std::string Render(bool color) const;

 private:
  const std::vector<std::string> header_;
  std::vector<std::vector<Cell>> rows_;
};

// Aligns cells that end in a tab, column by column over adjoining lines, two spaces apart
// (elastic tab stops, as kubectl describe's text is laid out).
std::string AlignTabs(std::string_view text);

// Control characters made visible, so that a hostile message stays in its cell. With `lines`, line
// ends are kept.
std::string Printable(std::string_view text, bool lines = false);

// Code points: what a cell takes on a terminal, but for wide and combining characters.
size_t DisplayWidth(std::string_view utf8);

}  // namespace keelson::nodectl
