#include "app/emulator/text.hpp"

#include <gtest/gtest.h>

#include <set>

namespace qlm::emulator {
namespace {

TEST(Text, EveryTokenIsAWordOfItsOwn) {
  std::set<std::string_view> words;
  for (TokenId id = 0; id < vocabulary_size; ++id) words.insert(token_text(id));
  EXPECT_EQ(words.size(), static_cast<std::size_t>(vocabulary_size));
  EXPECT_EQ(token_text(0), " baba");
}

TEST(Text, APromptHasATokenForEachFourBytesBegun) {
  EXPECT_EQ(tokenize("").size(), 0U);
  EXPECT_EQ(tokenize("four").size(), 1U);
  EXPECT_EQ(tokenize("fiver").size(), 2U);
}

TEST(Text, AGenerationResumedFromItsIdsSaysTheSame) {
  const auto prompt = tokenize("tell me a story");
  Generator whole(prompt, 7, 50);
  std::vector<TokenId> said;
  std::vector<bool> ends;
  for (int i = 0; i < 100; ++i) {
    said.push_back(whole.next());
    ends.push_back(whole.at_end());
  }
  auto so_far = prompt;
  so_far.insert(so_far.end(), said.begin(), said.begin() + 40);
  Generator resumed(so_far, 7, 50);
  for (std::size_t i = 40; i < 100; ++i) {
    EXPECT_EQ(resumed.next(), said[i]);
    EXPECT_EQ(resumed.at_end(), ends[i]);
  }
}

TEST(Text, LengthsHaveTheMeanAskedFor) {
  std::int64_t total = 0;
  for (int i = 0; i < 2000; ++i) {
    Generator generator(tokenize(std::to_string(i)), 0, 100);
    do {
      generator.next();
      ++total;
    } while (!generator.at_end());
  }
  EXPECT_NEAR(static_cast<double>(total) / 2000, 100, 10);
}

TEST(Text, Base64OfEveryRemainder) {
  const std::uint8_t bytes[] = {'f', 'o', 'o'};
  EXPECT_EQ(base64({bytes, 1}), "Zg==");
  EXPECT_EQ(base64({bytes, 2}), "Zm8=");
  EXPECT_EQ(base64({bytes, 3}), "Zm9v");
}

}  // namespace
}  // namespace qlm::emulator
