#include "core/controller/ledger.hpp"

namespace qlm {

Ledger::Account& Ledger::account_of(InstanceId instance) {
  if (instance.index() >= accounts_.size()) accounts_.resize(instance.index() + 1);
  return accounts_[instance.index()];
}

const Ledger::Account& Ledger::account(InstanceId instance) const {
  static constexpr Account empty;
  return instance.index() < accounts_.size() ? accounts_[instance.index()] : empty;
}

Ledger::Index Ledger::open(const LedgerEntry& entry) {
  const Index index = entries_.acquire();
  entries_[index] = entry;
  by_key_.insert(packed(entry.key), index);
  Account& account = account_of(entry.instance);
  entries_[index].next = account.first;
  entries_[index].previous = none;
  if (account.first != none) entries_[account.first].previous = index;
  account.first = index;
  ++account.slots;
  tally(account, entry, 1);
  account.kv += entry.kv;
  return index;
}

void Ledger::set_state(Index index, LedgerEntry::State state) {
  LedgerEntry& entry = entries_[index];
  Account& account = account_of(entry.instance);
  tally(account, entry, -1);
  entry.state = state;
  tally(account, entry, 1);
}

void Ledger::set_kv(Index index, Tokens kv) {
  LedgerEntry& entry = entries_[index];
  if (entry.slot_held) account_of(entry.instance).kv += kv - entry.kv;
  entry.kv = kv;
}

void Ledger::set_streamed(Index index, bool streamed) {
  LedgerEntry& entry = entries_[index];
  Account& account = account_of(entry.instance);
  tally(account, entry, -1);
  entry.streamed = streamed;
  tally(account, entry, 1);
}

void Ledger::tally(Account& account, const LedgerEntry& entry, int by) {
  const bool running = entry.state == LedgerEntry::State::running;
  if (running) account.running += by;
  if (entry.streamed && (running || entry.state == LedgerEntry::State::queued_at_engine)) account.watched += by;
}

void Ledger::release_slot(Index index) {
  LedgerEntry& entry = entries_[index];
  if (entry.slot_held) {
    entry.slot_held = false;
    Account& account = account_of(entry.instance);
    --account.slots;
    account.kv -= entry.kv;
  }
  if (entry.ended) close(index);
}

void Ledger::end(Index index) {
  entries_[index].ended = true;
  set_state(index, LedgerEntry::State::awaiting_release);
  if (!entries_[index].slot_held) close(index);
}

void Ledger::close(Index index) {
  const LedgerEntry& entry = entries_[index];
  Account& account = account_of(entry.instance);
  tally(account, entry, -1);
  by_key_.erase(packed(entry.key));
  if (entry.previous != none) entries_[entry.previous].next = entry.next;
  if (entry.previous == none) account.first = entry.next;
  if (entry.next != none) entries_[entry.next].previous = entry.previous;
  entries_.release(index);
}

}  // namespace qlm
