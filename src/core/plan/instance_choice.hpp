// Which of several instances that can take a request at once has it: the one where it costs everybody least, in seconds
// (scheduling-survey 2.10). Counted are its own prefill, of what is not cached there already, which those that run wait for
// too; its own decoding; and by how much it lengthens every step for the others. A request that has time enough goes to
// a slower instance where that suffices, so that the fast ones stay free for those who need them. Pure functions; the
// controller decides who has room.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/quantity.hpp"
#include "base/time.hpp"
#include "core/domain/explain.hpp"
#include "core/domain/step_time.hpp"

namespace qlm {

struct InstanceOffer {
  const StepTimeModel* step = nullptr;  // null: how fast it is, is not known
  double scale = 1;                     // of its steps against that, as learned
  int running = 0;
  int room = 1;                         // in flight at most
  Tokens held{0};                       // KV of those that run
  Tokens cached{0};                     // of this prompt, as far as is known
  bool canary = false;
};

struct ChoiceFacts {
  Tokens prompt{0};
  double output = 0;                            // expected tokens
  Duration first_token_within = Duration::max();
  Duration whole_within = Duration::max();
  Duration tpot = 200ms;                        // the slowest mean pace that counts as served
  bool patient = false;                         // it has an objective, and much time until it must start
};

struct InstanceChoice {
  std::size_t index = 0;
  ChosenFor why = ChosenFor::only_one;
};

// At least one offer. Without speeds the least relative load decides, times the part of its work that is not cached
// (after LMetric's product of new prefill and batch). Ties go to the first.
InstanceChoice choose_instance(const ChoiceFacts& facts, std::span<const InstanceOffer> offers);

}  // namespace qlm
