#include "core/domain/picture.hpp"

#include <algorithm>
#include <array>

#include "core/domain/names.hpp"

namespace qlm {
namespace {

template <class List, class Id>
std::string name_in(const List& list, Id id, auto&& name_of) {
  return id.index() < list.size() ? std::string(name_of(list[id.index()])) : "#" + std::to_string(id.value);
}

// Tenths of a second, rounded down.
std::string seconds_text(Duration d) {
  const std::int64_t tenths = std::abs(d / 100ms);
  return std::string(d < Duration{} && tenths > 0 ? "-" : "") + std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " s";
}

std::string share_text(double share) { return std::to_string(static_cast<int>(share * 100 + 0.5)) + " %"; }

std::string requests_text(std::int64_t count, std::string_view what) {
  return count == 0 ? std::string() : ", " + std::to_string(count) + " " + std::string(what);
}

}  // namespace

std::string_view order_reason(Policy policy) {
  switch (policy) {
    case Policy::fcfs: return "they came earlier";
    case Policy::priority: return "their class is worth more, or they came earlier";
    case Policy::sjf: return "less work is expected of them";
    case Policy::qlm: return "they must start earlier to be on time";
    default: return "they are due earlier";
  }
}

std::string to_text(const Picture& picture, const ControllerConfiguration& names) {
  const auto model = [&](ModelId id) { return name_in(names.models, id, [](const std::string& n) { return n; }); };
  const auto service_class = [&](ClassId id) { return name_in(names.classes, id, [](const ServiceClass& c) { return c.name; }); };
  std::string text = "policy " + std::string(name(picture.policy));
  if (picture.plan_age) text += ", plan made " + seconds_text(*picture.plan_age) + " ago";
  text += "\n";

  for (const InstancePicture& i : picture.instances) {
    text += "\ninstance " + i.name + ": ";
    std::string serves;
    for (const ModelId m : i.serves) serves += (serves.empty() ? "" : ", ") + model(m);
    text += serves.empty() ? "nothing new" : serves;
    if (i.next) text += ", swapping to " + model(*i.next);
    text += "; " + std::to_string(i.in_flight) + " of " + std::to_string(i.room) + " in flight";
    if (i.kv_capacity) text += ", memory " + std::to_string(i.kv.count) + " of " + std::to_string(i.kv_capacity->count) + " tokens";
    text += i.binding == Binding::none ? "; has room\n" : "; takes no more: " + std::string(name(i.binding)) + "\n";
    Instant from = picture.at;
    for (const Plan::Visit& visit : i.visits) {
      if (visit.until <= picture.at) continue;
      text += "  " + model(visit.model) + " from " + (from == picture.at ? "now" : "in " + seconds_text(from - picture.at));
      text += visit.until == never ? " on\n" : " until in " + seconds_text(visit.until - picture.at) + "\n";
      from = visit.until;
    }
  }

  for (const ModelPicture& m : picture.models) {
    text += "\nqueue of " + model(m.model) + (m.priced ? ": the load leaves no room for some of it\n" : "\n");
    int k = 0;
    for (const GroupPicture& g : m.groups) {
      text += "  " + std::to_string(++k) + ". " + service_class(g.service_class);
      if (g.prompts_from > 0) text += ", prompts from " + std::to_string(g.prompts_from);
      text += ": " + std::to_string(g.kept) + " kept";
      text += requests_text(g.given_up, g.priced_out && m.priced ? "given up for their price" : "given up");
      text += requests_text(g.late, "late") + "; " + std::to_string(g.tokens.count) + " tokens";
      if (g.due) text += "; next due in " + seconds_text(*g.due);
      if (m.priced && !g.priced_out && g.admitted < 1) text += "; " + share_text(g.admitted) + " of new ones are kept";
      text += "\n";
    }
  }
  if (picture.models.empty()) text += "\nnobody waits\n";
  return text;
}

}  // namespace qlm
