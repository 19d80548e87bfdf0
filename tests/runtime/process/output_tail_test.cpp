#include "runtime/process/output_tail.hpp"

#include <algorithm>

#include "fixture.hpp"

namespace qlm::process {
namespace {

using Lines = std::vector<std::string>;

class OutputTailTest : public WithFolder {
 protected:
  void write(std::string_view text) const { std::ofstream(file, std::ios::app) << text; }
  OutputTail tail() const { return OutputTail(Descriptor(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600))); }
  Lines heard() { return std::exchange(lines, {}); }

  const std::string file = here / "output";
  Lines lines;
  const OutputTail::Line line = [this](std::string_view text) { lines.emplace_back(text); };
  const Instant now{100s};
};

TEST_F(OutputTailTest, WholeLinesAreHandedOutFromThePresentEndOn) {
  write("former\n");
  OutputTail out = tail();
  write("one\n\ntw");
  out.read(now, line);
  EXPECT_EQ(heard(), (Lines{"one", ""}));
  write("o\r\nrest");
  out.read(now, line);
  EXPECT_EQ(heard(), Lines{"two"});
  out.finish(now, line);
  EXPECT_EQ(heard(), Lines{"rest"});
}

TEST_F(OutputTailTest, ALongLineIsCutAndControlCharactersButTabsAreReplaced) {
  OutputTail out = tail();
  write(std::string(OutputTail::longest_line, 'a') + "b" + std::string(100'000, 'c') +
        "\n\x1b[31mred\t\x01\x7f\u00e9\n");
  out.read(now, line);
  EXPECT_EQ(heard(), (Lines{std::string(OutputTail::longest_line, 'a'), "?[31mred\t??\u00e9"}));
}

TEST_F(OutputTailTest, MoreLinesThanASecondTakesAreCounted) {
  OutputTail out = tail();
  std::string many;
  for (int i = 0; i < 250; ++i) many += "x\n";
  write(many);
  out.read(now, line);
  EXPECT_EQ(heard(), Lines(200, "x"));
  write("y\n");
  out.read(now + 999ms, line);
  EXPECT_EQ(heard(), Lines{});
  write("z\n");
  out.read(now + 1s, line);
  EXPECT_EQ(heard(), (Lines{"(51 lines left out: more than 200 in a second)", "z"}));
  write(many);
  out.finish(now + 1s, line);
  const Lines last = heard();
  EXPECT_EQ(last.size(), 200U);
  EXPECT_EQ(last.back(), "(51 lines left out: more than 200 in a second)");
}

TEST_F(OutputTailTest, AFileThatHasBeenReadIsCutWhenItIsLarge) {
  OutputTail out = tail();
  write("begun ");
  out.read(now, line);
  write(std::string(OutputTail::largest_file - 7, 'a') + "\n");
  out.read(now, line);
  EXPECT_EQ(std::filesystem::file_size(file), static_cast<std::size_t>(OutputTail::largest_file));
  write("b\nbeg");
  out.read(now, line);
  EXPECT_EQ(std::filesystem::file_size(file), 0U);
  write("un\nnext\n");
  out.read(now, line);
  EXPECT_EQ(Lines(lines.begin() + 1, lines.end()), (Lines{"b", "begun", "next"}));
}

TEST_F(OutputTailTest, WhatIsWrittenFasterThanItCanBeReadIsLeftOutAndThatIsSaid) {
  OutputTail out = tail();
  write(std::string(3 * OutputTail::largest_file, '\n'));
  out.read(now, line);
  EXPECT_EQ(std::filesystem::file_size(file), 3U * OutputTail::largest_file);  // as much as a turn takes
  out.read(now, line);
  EXPECT_EQ(std::filesystem::file_size(file), 0U);
  EXPECT_EQ(lines.back(), fmt::format("({} bytes left out: more than can be read in time)", OutputTail::largest_file));
}

TEST_F(OutputTailTest, AFileThatSomebodyElseCutIsReadFromItsBeginning) {
  OutputTail out = tail();
  write("one\n");
  out.read(now, line);
  std::filesystem::resize_file(file, 0);
  write("2\n");
  out.read(now, line);
  EXPECT_EQ(heard(), (Lines{"one", "2"}));
}

}  // namespace
}  // namespace qlm::process
