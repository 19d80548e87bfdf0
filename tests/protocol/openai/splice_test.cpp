#include "protocol/openai/splice.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <boost/json/src.hpp>  // header-only: the oracle of this test, linked by nothing else

namespace qlm::openai {
namespace {

namespace json = boost::json;

std::shared_ptr<const RequestFacts> facts_of(std::string body) {
  auto facts = extract("/v1/chat/completions", std::make_shared<const std::string>(std::move(body)));
  if (!facts) throw std::runtime_error(facts.error().message);
  return std::make_shared<const RequestFacts>(std::move(*facts));
}

TEST(Splice, WithoutPatchesTheBytesComeOutAsOnePiece) {
  const std::string body = "\n{ \"x\" : [1 , 2] ,\t\"model\":\"m\" }\r\n";
  const AssembledBody out = Splice(facts_of(body)).assemble();
  EXPECT_EQ(out.str(), body);
  EXPECT_EQ(out.pieces().size(), 1U);
  EXPECT_EQ(out.size(), body.size());
}

TEST(Splice, ReplacesTheModelAndNothingElse) {
  const auto facts = facts_of(R"({ "model" : "m", "x":1.50 })");
  Splice splice(facts);
  splice.set_model("org/\"m\"");
  EXPECT_EQ(splice.assemble().str(), R"({ "model" : "org/\"m\"", "x":1.50 })");
  splice.set_model("other");  // a retry elsewhere
  EXPECT_EQ(splice.assemble().str(), R"({ "model" : "other", "x":1.50 })");
}

TEST(Splice, RemovalTakesItsCommaAlong) {
  const auto without = [](std::string body, std::string_view name) {
    Splice splice(facts_of(std::move(body)));
    splice.remove(name);
    return splice.assemble().str();
  };
  EXPECT_EQ(without(R"({"priority":1, "model":"m"})", "priority"), R"({"model":"m"})");
  EXPECT_EQ(without(R"({"model":"m", "priority":1})", "priority"), R"({"model":"m"})");
  EXPECT_EQ(without(R"({"a":1,"priority":[1,2],"model":"m"})", "priority"), R"({"a":1,"model":"m"})");
  EXPECT_EQ(without(R"({ "model":"m" })", "model"), R"({ })");
  EXPECT_EQ(without(R"({"model":"m"})", "absent"), R"({"model":"m"})");
}

TEST(Splice, AsksForUsageKeepingTheOtherStreamOptions) {
  const auto asked = [](std::string body) {
    Splice splice(facts_of(std::move(body)));
    splice.ask_usage();
    return splice.assemble().str();
  };
  EXPECT_EQ(asked(R"({"model":"m"})"), R"({"model":"m","stream_options":{"include_usage":true}})");
  EXPECT_EQ(asked(R"({"stream_options":null,"model":"m"})"), R"({"stream_options":{"include_usage":true},"model":"m"})");
  EXPECT_EQ(asked(R"({"stream_options": {  },"model":"m"})"), R"({"stream_options": {"include_usage":true},"model":"m"})");
  EXPECT_EQ(asked(R"({"stream_options":{"a":1},"model":"m"})"), R"({"stream_options":{"include_usage":true,"a":1},"model":"m"})");
  EXPECT_EQ(asked(R"({"stream_options":{"a":1, "include_usage": false},"model":"m"})"),
            R"({"stream_options":{"a":1, "include_usage": true},"model":"m"})");
  EXPECT_EQ(asked(R"({"stream_options":{"include_usage":true},"model":"m"})"), R"({"stream_options":{"include_usage":true},"model":"m"})");
}

TEST(Splice, NeverInventsATokenLimit) {
  Splice splice(facts_of(R"({"model":"m"})"));
  splice.set_model("x");
  splice.ask_usage();
  EXPECT_EQ(splice.assemble().str().find("max_"), std::string::npos);
}

TEST(Splice, TheAssembledBodyOutlivesItsSplice) {
  AssembledBody out;
  {
    Splice splice(facts_of(R"({"model":"m","long":")" + std::string(1000, 'x') + "\"}"));
    splice.set_model("n");
    out = splice.assemble();
  }
  EXPECT_TRUE(out.str().starts_with(R"({"model":"n")"));
}

// Any body, any patches: what comes out is the document a DOM would have been edited into.
TEST(Splice, EqualsTheEditedDom) {
  const auto sound = rc::check([] {
    const auto blanks = rc::gen::element<std::string>("", "", " ", "\n", "\t ");
    const auto blank = [&] { return *blanks; };
    const auto value = [] {
      return *rc::gen::element<std::string>("1", "-2.5e3", "true", "null", R"("")", R"("a\"}],{[\\")", R"({"model":"inner","x":[1, {}]})",
                                            "[]", "{}", R"("\ud83d\ude00")", "[ 1 ,2]");
    };
    auto names = *rc::gen::unique<std::vector<std::string>>(rc::gen::element<std::string>("a", "b", "priority", "id_slot", "zz", "", "é"));
    names.insert(names.begin() + *rc::gen::inRange<std::ptrdiff_t>(0, std::ssize(names) + 1), "model");
    std::string body = blank() + "{";
    for (std::size_t i = 0; i < names.size(); ++i) {
      body += (i ? "," : "") + blank() + '"' + names[i] + '"' + blank() + ":" + blank();
      body += (names[i] == "model" ? R"("m")" : value()) + blank();
    }
    body += "}" + blank();

    json::object expected = json::parse(body).as_object();
    Splice splice(facts_of(body));
    for (int edits = *rc::gen::inRange(0, 6); edits > 0; --edits) {
      const auto name = *rc::gen::element<std::string>("a", "b", "priority", "id_slot", "zz", "", "é", "model", "new", "n\"ew");
      if (*rc::gen::arbitrary<bool>()) {
        splice.remove(name);
        expected.erase(name);
      } else {
        const auto text = value();
        splice.set(name, text);
        expected[name] = json::parse(text);
      }
    }
    const AssembledBody out = splice.assemble();
    RC_ASSERT(json::parse(out.str()) == json::value(expected));
    RC_ASSERT(out.size() == out.str().size());
  });
  EXPECT_TRUE(sound);
}

}  // namespace
}  // namespace qlm::openai
