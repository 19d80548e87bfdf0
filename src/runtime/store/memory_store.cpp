#include <cstdint>
#include <utility>

#include "runtime/store/store.hpp"

namespace qlm::store {
namespace {

class MemoryStore final : public Store {
 public:
  explicit MemoryStore(Answer answer) : answer_(std::move(answer)) {}

  void persist(const action::Persist& ask) override {
    answer_(event::Persisted{ask.request, FencingToken{++tokens_}});
  }
  void publish(const action::Publish& ask) override { answer_(event::Published{ask.request}); }
  void release(const action::ReleaseClaim&) override {}

 private:
  Answer answer_;
  std::uint64_t tokens_ = 0;
};

}  // namespace

std::unique_ptr<Store> memory_store(Store::Answer answer) { return std::make_unique<MemoryStore>(std::move(answer)); }

}  // namespace qlm::store
