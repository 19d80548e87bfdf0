// The published schema and documentation are the table's own print. To write them anew after a change of the table:
//   QLM_WRITE_PUBLISHED=1 test_runtime_config --gtest_filter='Published.*'
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "runtime/config/schema.hpp"

namespace qlm::config {
namespace {

std::string content(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

void expect_up_to_date(const std::string& path, const std::string& expected) {
  if (std::getenv("QLM_WRITE_PUBLISHED") != nullptr) std::ofstream(path, std::ios::binary) << expected;
  EXPECT_EQ(content(path), expected) << "the table of keys changed; see the top of this test";
}

TEST(Published, TheJsonSchemaIsTheTables) { expect_up_to_date(QLM_DOCS "/qlm.schema.json", json_schema()); }

TEST(Published, TheDocumentedKeysAreTheTables) {
  const std::string path = QLM_DOCS "/configuration.md";
  const std::string text = content(path);
  const auto begin = text.find("<!-- keys:");
  const auto end = text.find("<!-- /keys -->");
  ASSERT_NE(begin, std::string::npos);
  ASSERT_NE(end, std::string::npos);
  const auto after_mark = text.find('\n', begin) + 1;
  expect_up_to_date(path, text.substr(0, after_mark) + key_table() + text.substr(end));
}

}  // namespace
}  // namespace qlm::config
