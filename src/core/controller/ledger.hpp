// What is in flight where: one owned entry an attempt, from its dispatch until the engine's slot is known to be free.
// An attempt gives back its request when it ends, and its slot only when the slot was released: an engine may keep
// working for a client that left.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/id_map.hpp"
#include "base/quantity.hpp"
#include "base/slab.hpp"
#include "base/time.hpp"
#include "core/domain/ids.hpp"
#include "core/domain/request.hpp"

namespace qlm {

struct LedgerEntry {
  enum class State : std::uint8_t { queued_at_engine, running, aborting, awaiting_release };

  AttemptKey key;
  InstanceId instance;
  ModelId model;
  State state = State::queued_at_engine;
  bool ended = false;       // Ended came
  bool slot_held = true;    // SlotReleased did not come yet
  bool streamed = true;     // its progress can be seen
  ResumeLevel resume = ResumeLevel::restart;
  Tokens prompt{0};
  Tokens longest{0};        // output it may have
  Tokens cached{0};         // of the prompt: expected to be cached there
  Tokens kept{0};           // of the prompt: generated before it was evicted
  Tokens kv{0};             // held, as far as it is known, and soon to be
  struct Charge {           // what its dispatch counted for, to tenant and class (shares.cpp)
    TenantId tenant;
    ClassId service_class;
    Tokens tokens{0};
    bool of_shares = false; // minimum shares acted
    bool passed_over = false;
  } charge;
  Tokens seen{0};           // of `generated`, what the estimates know
  bool seen_running = false;
  Duration work_left{};     // expected, of engine time
  Tokens generated{0};
  Instant dispatched;
  Instant last_progress;
  Instant release_by = never;
  Slab<int>::Index next = Slab<int>::none, previous = Slab<int>::none;  // of the same instance
};

class Ledger {
 public:
  using Index = Slab<LedgerEntry>::Index;
  static constexpr Index none = Slab<LedgerEntry>::none;

  struct Account {  // of one instance
    Index first = none;
    int slots = 0;       // held
    int running = 0;     // entries in state running
    int watched = 0;     // entries queued at the engine or running whose progress can be seen
    Tokens kv{0};        // of held slots
  };

  Index open(const LedgerEntry& entry);
  std::optional<Index> find(AttemptKey key) const { return by_key_.find(packed(key)); }
  void set_state(Index index, LedgerEntry::State state);
  void set_kv(Index index, Tokens kv);
  void set_streamed(Index index, bool streamed);
  void release_slot(Index index);   // closes the entry when it has ended too
  void end(Index index);            // closes the entry when its slot was released

  LedgerEntry& operator[](Index index) { return entries_[index]; }
  const LedgerEntry& operator[](Index index) const { return entries_[index]; }
  const Account& account(InstanceId instance) const;
  std::size_t size() const { return entries_.size(); }

  static std::uint64_t packed(AttemptKey key) { return key.request.value << 8 | key.attempt.value; }

 private:
  Account& account_of(InstanceId instance);
  void close(Index index);
  static void tally(Account& account, const LedgerEntry& entry, int by);

  Slab<LedgerEntry> entries_;
  IdMap<Index> by_key_;
  std::vector<Account> accounts_;
};

}  // namespace qlm
