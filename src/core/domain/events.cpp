#include "core/domain/events.hpp"

namespace qlm {

Lost lost_to(const event::Ended& ended, std::optional<action::AbortWhy> asked) {
  using End = event::AttemptEnd;
  if (ended.end != End::refused && ended.end != End::failed_before_byte && ended.end != End::aborted) return {};
  if (asked == action::AbortWhy::stalled) return {Loss::stalled};
  if (asked == action::AbortWhy::instance_down) return {Loss::instance_down};
  if (asked || ended.end == End::aborted) return {};
  if (ended.end == End::failed_before_byte) return {Loss::failed, ended.status};
  return ended.status == 0 ? Lost{Loss::not_sent} : Lost{Loss::refused, ended.status};
}

}  // namespace qlm
