#include "runtime/net/socket.hpp"

#include <netinet/tcp.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "runtime/net/asio_loop.hpp"

namespace qlm::net {

namespace {

constexpr std::size_t first_buffer = 4 * 1024;  // idle streams are many, and an event of a stream is small
constexpr std::size_t full_buffer = 64 * 1024;
constexpr std::size_t merge_up_to = 16 * 1024;
constexpr std::size_t gather_at_once = 64;
constexpr Duration leave_patience = 30s;  // after close(), between two steps of the queued bytes leaving
constexpr Duration linger_time = 2s;
constexpr std::size_t linger_bytes = 64 * 1024 * 1024;

// Bytes waiting to be written, with what keeps them alive.
class WriteQueue {
 public:
  void push(std::string bytes) {
    size_ += bytes.size();
    if (!pieces_.empty() && pieces_.back().own_bytes &&
        pieces_.back().own.size() + bytes.size() <= merge_up_to) {
      pieces_.back().own += bytes;
    } else {
      pieces_.push_back({.own = std::move(bytes), .owner = nullptr, .lent = {}, .own_bytes = true});
    }
  }
  void push(std::shared_ptr<const void> owner, std::string_view bytes) {
    size_ += bytes.size();
    pieces_.push_back({.own = {}, .owner = std::move(owner), .lent = bytes, .own_bytes = false});
  }

  std::size_t size() const { return size_; }

  // The front of the queue as one gathered write takes it.
  using Gathered = std::array<asio::const_buffer, gather_at_once>;
  std::size_t gather(Gathered& out) const {
    std::size_t count = 0;
    std::size_t skip = taken_;
    for (std::size_t i = front_; i < pieces_.size() && count < out.size(); ++i) {
      const std::string_view bytes = pieces_[i].bytes().substr(skip);
      skip = 0;
      if (!bytes.empty()) out[count++] = asio::buffer(bytes.data(), bytes.size());
    }
    return count;
  }

  void drop_front(std::size_t count) {
    size_ -= count;
    if (size_ == 0) return clear();
    count += taken_;
    while (count >= pieces_[front_].bytes().size()) {
      count -= pieces_[front_].bytes().size();
      pieces_[front_++] = {};
    }
    taken_ = count;
    if (front_ > gather_at_once && front_ * 2 > pieces_.size()) {
      pieces_.erase(pieces_.begin(), pieces_.begin() + static_cast<std::ptrdiff_t>(front_));
      front_ = 0;
    }
  }

  void clear() {
    pieces_.clear();
    front_ = taken_ = size_ = 0;
  }

 private:
  struct Piece {
    std::string own;
    std::shared_ptr<const void> owner;
    std::string_view lent;
    bool own_bytes = true;

    std::string_view bytes() const { return own_bytes ? std::string_view(own) : lent; }
  };
  std::vector<Piece> pieces_;
  std::size_t front_ = 0;  // the first piece not wholly written
  std::size_t taken_ = 0;  // of that piece
  std::size_t size_ = 0;   // bytes left
};

// Writes are tried without blocking when the present callback ends; only a full kernel buffer makes them wait.
// So nothing in the queue is ever referred to by a write under way, and small writes can be appended to it.
class TcpSocket final : public Socket {
 public:
  TcpSocket(Loop& loop, tcp::socket&& socket) : loop_(loop), socket_(std::move(socket)), patience_(loop) {
    ErrorCode ignored;
    peer_ = socket_.remote_endpoint(ignored);
    socket_.non_blocking(true, ignored);
    socket_.set_option(tcp::no_delay(true), ignored);
    // A peer that vanished without a word (power, network) is noticed after about a minute of silence.
    socket_.set_option(asio::socket_base::keep_alive(true), ignored);
    const auto set = [this](int option, int value) {
      ::setsockopt(socket_.native_handle(), IPPROTO_TCP, option, &value, sizeof value);
    };
    set(TCP_KEEPIDLE, 30);
    set(TCP_KEEPINTVL, 10);
    set(TCP_KEEPCNT, 3);
  }

  void set_handler(Handler* handler) override {
    if (leaving()) return;
    handler_ = handler;
    read_on();
  }
  void pause_reading() override { paused_ = true; }
  void resume_reading() override {
    paused_ = false;
    read_on();
  }
  bool far_end_left() override {
    tcp_info info{};
    socklen_t size = sizeof info;
    return ::getsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0 || info.tcpi_state != TCP_ESTABLISHED;
  }

  void write(std::string bytes) override {
    if (bytes.empty() || !writable()) return;
    queue_.push(std::move(bytes));
    flush_soon();
  }
  void write(std::shared_ptr<const void> owner, std::string_view bytes) override {
    if (bytes.empty() || !writable()) return;
    queue_.push(std::move(owner), bytes);
    flush_soon();
  }
  Bytes unsent() const override { return Bytes{static_cast<std::int64_t>(queue_.size())}; }

  void close() override { leave(State::closing); }
  void close_after_answer() override { leave(State::closing_after_answer); }
  void abort() override {
    forget_handler();
    if (state_ == State::closed) return;
    ErrorCode ignored;
    socket_.set_option(asio::socket_base::linger(true, 0), ignored);
    close_now();
  }

  std::string peer() const override { return to_address(peer_).text(); }

 private:
  enum class State { open, closing, closing_after_answer, lingering, closed };

  std::shared_ptr<TcpSocket> self() { return std::static_pointer_cast<TcpSocket>(shared_from_this()); }
  bool leaving() const { return state_ != State::open && !end_untold_; }
  bool writable() const { return state_ == State::open && !write_failed_; }

  // ---- reading: at most one read is under way, none while its bytes are with the handler

  void read_on() {
    if (!handler_ || delivering_) return;
    if (end_untold_ || (held_ > 0 && !paused_)) {
      loop_.post([self = self()] { self->deliver(); });
    } else if (!paused_ && held_ == 0) {
      start_read();
    }
  }

  void start_read() {
    if (reading_ || state_ == State::closed) return;
    if (!buffer_) buffer_ = std::make_unique_for_overwrite<char[]>(capacity_);
    reading_ = true;
    socket_.async_read_some(asio::buffer(buffer_.get(), capacity_),
                            [self = self()](const ErrorCode& error, std::size_t count) {
                              const Turn turn(self->loop_);
                              self->reading_ = false;
                              self->read_done(error, count);
                            });
  }

  void read_done(const ErrorCode& error, std::size_t count) {
    switch (state_) {
      case State::closed:
      case State::closing:
      case State::closing_after_answer:
        return;
      case State::lingering:
        discarded_ += count;
        return error || discarded_ > linger_bytes ? close_now() : start_read();
      case State::open:
        if (error) return ended(error == asio::error::eof ? std::string() : error.message());
        held_ = count;
        return deliver();
    }
  }

  void deliver() {
    if (!handler_) return;
    if (end_untold_) return std::exchange(handler_, nullptr)->on_closed(*std::exchange(end_untold_, {}));
    if (state_ != State::open || paused_ || held_ == 0) return;
    const std::size_t count = std::exchange(held_, 0);
    delivering_ = true;
    handler_->on_data({buffer_.get(), count});
    delivering_ = false;
    if (state_ == State::lingering) return start_read();
    if (state_ != State::open) return;
    if (count == capacity_ && capacity_ < full_buffer) {
      capacity_ = full_buffer;
      buffer_.reset();
    }
    read_on();
  }

  // The far end, or the network, ended it.
  void ended(std::string reason) {
    close_now();
    end_untold_ = std::move(reason);
    deliver();
  }

  // ---- writing

  void flush_soon() {
    if (std::exchange(flush_coming_, true)) return;
    loop_.defer([self = self()] { self->flush(); });
  }

  void flush() {
    flush_coming_ = false;
    WriteQueue::Gathered pieces;
    while (queue_.size() > 0) {
      const std::span<const asio::const_buffer> gathered(pieces.data(), queue_.gather(pieces));
      ErrorCode error;
      const std::size_t count = socket_.write_some(gathered, error);
      if (error == asio::error::would_block || error == asio::error::try_again) {
        flush_coming_ = true;
        socket_.async_wait(tcp::socket::wait_write, [self = self()](const ErrorCode&) {
          const Turn turn(self->loop_);
          self->flush();
        });
        return;
      }
      if (error) return write_failed(error);
      queue_.drop_front(count);
      if (state_ != State::open) give_patience();
      if (std::exchange(silent_, false) && handler_) handler_->on_sending();
    }
    if (std::exchange(silent_, true)) return;  // nothing was left to write, or it was closed meanwhile
    if (state_ == State::open) {
      if (handler_) handler_->on_drained();
    } else if (state_ == State::closing || state_ == State::closing_after_answer) {
      drained_while_leaving();
    }
  }

  // What the far end said before it stopped listening (an early answer) may still be read: the read under way tells
  // the end. Without one, nobody else would.
  void write_failed(const ErrorCode& error) {
    write_failed_ = true;
    queue_.clear();
    if (state_ != State::open) return close_now();
    if (!reading_ && held_ == 0) ended(error.message());
  }

  // ---- leaving

  void forget_handler() {
    handler_ = nullptr;
    end_untold_.reset();
  }

  void leave(State how) {
    forget_handler();
    if (state_ != State::open) return;
    state_ = how;
    held_ = 0;
    if (queue_.size() == 0) return drained_while_leaving();
    give_patience();
  }

  void give_patience() {
    patience_.after(leave_patience, [this] { abort(); });
  }

  void drained_while_leaving() {
    if (state_ == State::closing || write_failed_) return close_now();
    ErrorCode error;
    socket_.shutdown(tcp::socket::shutdown_send, error);
    if (error) return close_now();
    state_ = State::lingering;
    patience_.after(linger_time, [this] { close_now(); });
    if (!delivering_) start_read();  // which also keeps this alive until then
  }

  void close_now() {
    state_ = State::closed;
    queue_.clear();
    silent_ = true;
    held_ = 0;
    patience_.cancel();
    ErrorCode ignored;
    socket_.close(ignored);
  }

  Loop& loop_;
  tcp::socket socket_;
  tcp::endpoint peer_;
  Handler* handler_ = nullptr;
  State state_ = State::open;

  std::unique_ptr<char[]> buffer_;
  std::size_t capacity_ = first_buffer;
  std::size_t held_ = 0;  // bytes in the buffer not yet given to a handler
  bool reading_ = false;
  bool paused_ = false;
  bool delivering_ = false;
  std::optional<std::string> end_untold_;

  WriteQueue queue_;
  bool flush_coming_ = false;  // posted, or waiting for the kernel to take more
  bool silent_ = true;         // nothing left since the queue was last empty
  bool write_failed_ = false;

  Timer patience_;
  std::size_t discarded_ = 0;
};

}  // namespace

std::shared_ptr<Socket> adopt(Loop& loop, tcp::socket&& socket) {
  return std::make_shared<TcpSocket>(loop, std::move(socket));
}

Address to_address(const tcp::endpoint& endpoint) { return {endpoint.address().to_string(), endpoint.port()}; }

std::uint64_t raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const rlimit highest{limit.rlim_max, limit.rlim_max};
  return setrlimit(RLIMIT_NOFILE, &highest) == 0 ? highest.rlim_cur : limit.rlim_cur;
}

}  // namespace qlm::net
