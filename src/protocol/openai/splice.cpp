#include "protocol/openai/splice.hpp"

#include <algorithm>

#include "protocol/openai/json_write.hpp"

namespace qlm::openai {

void AssembledBody::add(std::string_view piece) {
  if (piece.empty()) return;
  size_ += piece.size();
  // Neighbours in the original become one piece again: fewer entries for writev().
  if (!pieces_.empty() && pieces_.back().data() + pieces_.back().size() == piece.data()) {
    pieces_.back() = {pieces_.back().data(), pieces_.back().size() + piece.size()};
  } else {
    pieces_.push_back(piece);
  }
}

std::string AssembledBody::str() const {
  std::string out;
  out.reserve(size_);
  for (const std::string_view piece : pieces_) out += piece;
  return out;
}

Splice::Splice(std::shared_ptr<const RequestFacts> facts) : facts_(std::move(facts)) {}

Splice::Patch& Splice::patch(std::string_view name) {
  const auto found = std::ranges::find(patches_, name, &Patch::name);
  return found != patches_.end() ? *found : patches_.emplace_back(Patch{std::string(name), {}});
}

void Splice::set_model(std::string_view name) { set_string("model", name); }

void Splice::set(std::string_view name, std::string_view json) { patch(name).json = json; }

void Splice::set_string(std::string_view name, std::string_view text) { patch(name).json = json_string(text); }

void Splice::remove(std::string_view name) { patch(name).json.reset(); }

void Splice::ask_usage() {
  if (facts_->wants_usage) return;
  const auto& options = facts_->stream_options;
  if (!options || options->empty) return set("stream_options", R"({"include_usage":true})");
  const std::string_view body = *facts_->body;
  const auto text = [&](std::size_t begin, std::size_t end) { return std::string(body.substr(begin, end - begin)); };
  const Span all = options->value;
  if (const auto& flag = options->include_usage) {
    set("stream_options", text(all.begin, flag->begin) + "true" + text(flag->end, all.end));
  } else {
    set("stream_options", R"({"include_usage":true,)" + text(all.begin + 1, all.end));
  }
}

AssembledBody Splice::assemble() const {
  AssembledBody out;
  out.original_ = facts_->body;
  const std::string_view body = *out.original_;
  const std::vector<Member>& members = facts_->members;

  // All patch text goes into one string first, so that views into it stay put.
  struct Text {
    std::size_t begin = 0, size = 0;
  };
  std::string patch_text;
  std::vector<Text> replacement(patches_.size());
  Text added{};
  for (std::size_t i = 0; i < patches_.size(); ++i) {
    if (!patches_[i].json || !facts_->find(patches_[i].name)) continue;
    replacement[i] = {patch_text.size(), patches_[i].json->size()};
    patch_text += *patches_[i].json;
  }
  const bool keeps_any = std::ranges::any_of(members, [&](const Member& member) {
    const auto found = std::ranges::find(patches_, member.name, &Patch::name);
    return found == patches_.end() || found->json.has_value();
  });
  added.begin = patch_text.size();
  for (const Patch& patch : patches_) {
    if (!patch.json || facts_->find(patch.name)) continue;
    if (keeps_any || patch_text.size() > added.begin) patch_text += ',';
    append_json_string(patch_text, patch.name);
    patch_text += ':';
    patch_text += *patch.json;
  }
  added.size = patch_text.size() - added.begin;
  out.patches_ = std::make_shared<const std::string>(std::move(patch_text));
  const auto patched = [&](Text text) { return std::string_view(*out.patches_).substr(text.begin, text.size); };

  // A kept member is written with the bytes before it: the blanks after '{' when it comes first, else the comma and
  // blanks that stood between it and its neighbour. So an unpatched body comes out as the bytes that came.
  const std::size_t open = body.find('{') + 1;
  out.add(body.substr(0, open));
  bool first = true;
  for (std::size_t i = 0; i < members.size(); ++i) {
    const Member& member = members[i];
    const auto found = std::ranges::find(patches_, member.name, &Patch::name);
    const bool touched = found != patches_.end();
    if (touched && !found->json) continue;
    const std::size_t gap_begin = i == 0 || first ? open : members[i - 1].whole.end;
    const std::size_t gap_end = first ? members[0].whole.begin : member.whole.begin;
    out.add(body.substr(gap_begin, gap_end - gap_begin));
    first = false;
    if (touched) {
      out.add(body.substr(member.whole.begin, member.value.begin - member.whole.begin));
      out.add(patched(replacement[static_cast<std::size_t>(found - patches_.begin())]));
    } else {
      out.add(body.substr(member.whole.begin, member.whole.end - member.whole.begin));
    }
  }
  out.add(patched(added));
  out.add(body.substr(members.empty() ? open : members.back().whole.end));
  return out;
}

}  // namespace qlm::openai
