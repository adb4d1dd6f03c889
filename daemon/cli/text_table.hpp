// Aligned columns for people.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace longhaul::daemon {

// Two blanks between columns, none at a line's end. Widths count characters, not bytes. Cells are
// shown without control characters; an empty one as "-".
class TextTable {
 public:
  struct Column {
    std::string_view title;
    bool number = false;  // aligned to the right
  };

  explicit TextTable(std::vector<Column> columns);
  void add(std::vector<std::string> cells);
  [[nodiscard]] std::string text() const;  // the titles, then the rows

 private:
  [[nodiscard]] std::string line(const std::vector<std::string>& cells) const;

  std::vector<Column> columns_;
  std::vector<std::size_t> widths_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace longhaul::daemon
