#include "runtime/net/http_client.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "protocol/http/chunked.hpp"

namespace qlm::net {

namespace {

// A connection kept between requests. Whatever it hears while idle, a close or unasked bytes, makes it useless.
class KeptConnection final : public Socket::Handler {
 public:
  KeptConnection(std::shared_ptr<Socket> socket, Instant until) : socket_(std::move(socket)), until_(until) {
    socket_->set_handler(this);
  }
  ~KeptConnection() override { drop(); }

  bool usable(Instant now) const { return socket_ && now < until_; }
  Instant until() const { return until_; }
  std::shared_ptr<Socket> take() {
    socket_->set_handler(nullptr);
    return std::exchange(socket_, nullptr);
  }

  void on_data(std::string_view) override { drop(); }
  void on_closed(const std::string&) override { drop(); }

 private:
  void drop() {
    if (const auto socket = std::exchange(socket_, nullptr)) socket->close();
  }

  std::shared_ptr<Socket> socket_;
  Instant until_;
};

// Kept connections by address, the latest used first: the others grow old and are dropped.
class Pool {
 public:
  Pool(Loop& loop, HttpClientLimits limits) : loop_(loop), limits_(limits), sweep_(loop) {}

  Loop& loop() { return loop_; }
  const HttpClientLimits& limits() const { return limits_; }

  std::shared_ptr<Socket> take(const Address& address) {
    const auto found = kept_.find(address);
    if (found == kept_.end()) return nullptr;
    auto& stack = found->second;
    std::shared_ptr<Socket> socket;
    while (!socket && !stack.empty()) {
      if (stack.back()->usable(loop_.now())) socket = stack.back()->take();
      stack.pop_back();
    }
    if (stack.empty()) kept_.erase(found);
    return socket;
  }

  void keep(const Address& address, std::shared_ptr<Socket> socket) {
    auto& stack = kept_[address];
    if (closed_ || stack.size() >= limits_.idle_per_address) return socket->close();
    stack.push_back(std::make_unique<KeptConnection>(std::move(socket), add(loop_.now(), limits_.idle_timeout)));
    if (!std::exchange(sweeping_, true)) sweep_.at(stack.back()->until(), [this] { sweep(); });
  }

  void close() {
    closed_ = true;
    kept_.clear();
    sweep_.cancel();
  }

  void on_no_descriptors(std::function<void()> tell) { on_no_descriptors_ = std::move(tell); }
  void tell_no_descriptors() const {
    if (on_no_descriptors_ && !closed_) on_no_descriptors_();
  }

 private:
  void sweep() {
    const Instant now = loop_.now();
    Instant next = never;
    for (auto& [address, stack] : kept_) {
      std::erase_if(stack, [now](const auto& kept) { return !kept->usable(now); });
      if (!stack.empty()) next = std::min(next, stack.front()->until());
    }
    std::erase_if(kept_, [](const auto& entry) { return entry.second.empty(); });
    sweeping_ = next != never;
    sweep_.at(next, [this] { sweep(); });
  }

  Loop& loop_;
  HttpClientLimits limits_;
  std::map<Address, std::vector<std::unique_ptr<KeptConnection>>> kept_;
  Timer sweep_;
  bool sweeping_ = false;
  bool closed_ = false;
  std::function<void()> on_no_descriptors_;
};

std::string request_head(const Address& address, const ClientRequest& request) {
  std::string out = fmt::format("{} {} HTTP/1.1\r\n", request.method, request.target);
  if (!request.fields.contains("Host")) out += fmt::format("Host: {}\r\n", address.text());
  for (const auto& field : request.fields.all()) {
    const bool ours = http::equals_ignoring_case(field.name, "Content-Length") ||
                      http::equals_ignoring_case(field.name, "Transfer-Encoding");
    if (!ours) out += fmt::format("{}: {}\r\n", field.name, field.value);
  }
  std::size_t length = 0;
  for (const std::string_view piece : request.body) length += piece.size();
  if (length > 0 || (request.method != "GET" && request.method != "HEAD")) {
    out += fmt::format("Content-Length: {}\r\n", length);
  }
  return out + "\r\n";
}

// The work behind a Call. Callbacks may destroy the Call, so each is followed by a look whether it is over.
class Running final : public Socket::Handler, public std::enable_shared_from_this<Running> {
 public:
  Running(std::shared_ptr<Pool> pool, Address address, ClientRequest request, ClientHandler& handler)
      : pool_(std::move(pool)),
        address_(std::move(address)),
        request_(std::move(request)),
        handler_(&handler),
        limit_(pool_->loop()) {}

  void start() {
    if (over()) return;
    if (auto kept = pool_->take(address_)) {
      reused_ = true;
      speak(std::move(kept));
    } else {
      dial();
    }
  }

  void cancel() {
    handler_ = nullptr;
    release_connection(Release::abort);
  }

  void pause() {
    paused_ = true;
    if (socket_) socket_->pause_reading();
  }
  void resume() {
    paused_ = false;
    if (socket_) socket_->resume_reading();
  }

 private:
  enum class Release { keep, close, abort };

  bool over() const { return handler_ == nullptr; }

  void dial() {
    reused_ = false;
    const Duration timeout = pool_->limits().connect_timeout;
    limit_.after(timeout, [this] { fail_with(ClientFailure::timed_out, "connecting took too long"); });
    connecting_ = connect(pool_->loop(), address_, Duration::max(), [this](auto socket) {
      const auto alive = shared_from_this();
      if (socket) return speak(std::move(*socket));
      if (!socket.error().no_descriptors) return fail_with(ClientFailure::connect, socket.error().message);
      pool_->tell_no_descriptors();
      fail_with(ClientFailure::no_descriptors, socket.error().message);
    });
  }

  void speak(std::shared_ptr<Socket> socket) {
    socket_ = std::move(socket);
    limit_.after(pool_->limits().head_timeout,
                 [this] { fail_with(ClientFailure::timed_out, "no response head within the time allowed"); });
    if (paused_) socket_->pause_reading();
    socket_->set_handler(this);
    socket_->write(request_head(address_, request_));
    for (const std::string_view piece : request_.body) socket_->write(request_.owner, piece);
  }

  void on_sending() override {
    const auto alive = shared_from_this();
    if (!std::exchange(sent_, true)) handler_->on_sent(pool_->loop().now());
  }

  void on_data(std::string_view bytes) override {
    const auto alive = shared_from_this();
    heard_ = true;
    if (head_) return take_body(bytes);
    buffer_ += bytes;
    while (!head_) {
      auto parsed = http::parse_response_head(buffer_, request_.method, pool_->limits().head);
      if (!parsed) return fail_with(ClientFailure::malformed, parsed.error().message);
      if (!*parsed) return;
      auto& [head, size] = **parsed;
      buffer_.erase(0, size);
      if (head.status == 101) return fail_with(ClientFailure::malformed, "101 to a request that asked for no upgrade");
      if (head.status >= 200) head_ = std::move(head);  // others only announce it
    }
    limit_.cancel();
    left_ = head_->framing.kind == http::Framing::Kind::length ? head_->framing.length.count : 0;
    handler_->on_head(*head_);
    const std::string rest = std::exchange(buffer_, {});
    if (!over()) take_body(rest);
  }

  void take_body(std::string_view in) {
    switch (head_->framing.kind) {
      case http::Framing::Kind::none: return complete(in);
      case http::Framing::Kind::length: {
        const std::string_view body = in.substr(0, static_cast<std::size_t>(left_));
        left_ -= static_cast<std::int64_t>(body.size());
        if (!body.empty()) handler_->on_body(body);
        if (!over() && left_ == 0) complete(in.substr(body.size()));
        return;
      }
      case http::Framing::Kind::chunked: return take_chunks(in);
      case http::Framing::Kind::until_close:
        if (!in.empty()) handler_->on_body(in);
        return;
    }
  }

  void take_chunks(std::string_view in) {
    using Kind = http::ChunkedDecoder::Step::Kind;
    while (!over()) {
      const auto step = chunks_.next(in);
      switch (step.kind) {
        case Kind::payload: handler_->on_body(step.payload); break;
        case Kind::need_more: return;
        case Kind::done: return complete(in);
        case Kind::malformed: return fail_with(ClientFailure::in_body, fmt::format("the chunked coding is broken: {}", chunks_.fault()));
      }
    }
  }

  void on_closed(const std::string& reason) override {
    const auto alive = shared_from_this();
    socket_.reset();
    if (reused_ && !heard_) {  // it was closed while it was idle; the news and our request crossed
      limit_.cancel();
      return dial();
    }
    const std::string detail = reason.empty() ? "the connection was closed" : reason;
    if (!head_) return fail_with(ClientFailure::before_head, detail);
    if (head_->framing.kind == http::Framing::Kind::until_close && reason.empty()) return complete({});
    fail_with(ClientFailure::in_body, detail + " before the body's end");
  }

  // `extra` is what came behind the response: nothing was asked for, so the connection cannot be trusted.
  void complete(std::string_view extra) {
    const bool all_sent = socket_ && socket_->unsent() == Bytes{0};
    const bool keep = head_->keep_alive && extra.empty() &&
                      head_->framing.kind != http::Framing::Kind::until_close &&
                      !request_.fields.has_token("Connection", "close");
    release_connection(!all_sent ? Release::abort : keep ? Release::keep : Release::close);
    std::exchange(handler_, nullptr)->on_complete();
  }

  void fail_with(ClientFailure failure, const std::string& detail) {
    const auto alive = shared_from_this();
    release_connection(Release::abort);
    std::exchange(handler_, nullptr)->on_failed(failure, detail);
  }

  void release_connection(Release how) {
    limit_.cancel();
    connecting_.reset();
    const auto socket = std::exchange(socket_, nullptr);
    if (!socket) return;
    socket->set_handler(nullptr);
    if (how == Release::abort) return socket->abort();
    if (how == Release::close) return socket->close();
    socket->resume_reading();
    pool_->keep(address_, socket);
  }

  std::shared_ptr<Pool> pool_;
  Address address_;
  ClientRequest request_;
  ClientHandler* handler_;  // null once it is over
  Timer limit_;
  std::unique_ptr<Connecting> connecting_;
  std::shared_ptr<Socket> socket_;
  bool reused_ = false;
  bool paused_ = false;
  bool sent_ = false;
  bool heard_ = false;

  std::string buffer_;  // a head not yet whole
  std::optional<http::ResponseHead> head_;
  std::int64_t left_ = 0;
  http::ChunkedDecoder chunks_;
};

class RunningCall final : public Call {
 public:
  explicit RunningCall(std::shared_ptr<Running> running) : running_(std::move(running)) {}
  ~RunningCall() override { running_->cancel(); }
  void pause_reading() override { running_->pause(); }
  void resume_reading() override { running_->resume(); }

 private:
  std::shared_ptr<Running> running_;
};

class PoolingClient final : public HttpClient {
 public:
  PoolingClient(Loop& loop, HttpClientLimits limits) : pool_(std::make_shared<Pool>(loop, limits)) {}
  ~PoolingClient() override { pool_->close(); }

  std::unique_ptr<Call> send(const Address& address, ClientRequest request, ClientHandler& handler) override {
    auto running = std::make_shared<Running>(pool_, address, std::move(request), handler);
    pool_->loop().defer([running] { running->start(); });
    return std::make_unique<RunningCall>(std::move(running));
  }
  void on_no_descriptors(std::function<void()> tell) override { pool_->on_no_descriptors(std::move(tell)); }

 private:
  std::shared_ptr<Pool> pool_;
};

// ---- fetch

class Fetching final : public ClientHandler, public std::enable_shared_from_this<Fetching> {
 public:
  Fetching(Loop& loop, Bytes body_limit, OnResponse on_response)
      : body_limit_(body_limit), on_response_(std::move(on_response)), limit_(loop) {}

  void start(HttpClient& client, const Address& address, ClientRequest request, Duration timeout) {
    limit_.after(timeout, [this] { end(std::unexpected(FetchError{{"no whole response within the time allowed"}, {}})); });
    call_ = client.send(address, std::move(request), *this);
  }
  void cancel() {
    on_response_ = nullptr;
    limit_.cancel();
    call_.reset();
  }
  Call* call() { return call_.get(); }

  void on_head(const http::ResponseHead& head) override { response_.head = head; }
  void on_body(std::string_view bytes) override {
    response_.body += bytes;
    if (std::ssize(response_.body) > body_limit_.count) {
      end(std::unexpected(FetchError{{fmt::format("the body is longer than {} bytes", body_limit_.count)}, {}}));
    }
  }
  void on_complete() override { end(std::move(response_)); }
  void on_failed(ClientFailure failure, const std::string& detail) override {
    end(std::unexpected(FetchError{{fmt::format("{}: {}", name(failure), detail)}, failure}));
  }

 private:
  void end(Fetched result) {
    const auto alive = shared_from_this();
    auto callback = std::exchange(on_response_, nullptr);
    cancel();
    callback(std::move(result));
  }

  Bytes body_limit_;
  OnResponse on_response_;
  Timer limit_;
  std::unique_ptr<Call> call_;
  WholeResponse response_;
};

class FetchCall final : public Call {
 public:
  explicit FetchCall(std::shared_ptr<Fetching> fetching) : fetching_(std::move(fetching)) {}
  ~FetchCall() override { fetching_->cancel(); }
  void pause_reading() override { if (fetching_->call()) fetching_->call()->pause_reading(); }
  void resume_reading() override { if (fetching_->call()) fetching_->call()->resume_reading(); }

 private:
  std::shared_ptr<Fetching> fetching_;
};

}  // namespace

std::string_view name(ClientFailure failure) {
  switch (failure) {
    case ClientFailure::connect: return "connect";
    case ClientFailure::no_descriptors: return "no_descriptors";
    case ClientFailure::before_head: return "before_head";
    case ClientFailure::in_body: return "in_body";
    case ClientFailure::malformed: return "malformed";
    case ClientFailure::timed_out: return "timed_out";
  }
  return "unknown";
}

std::unique_ptr<HttpClient> HttpClient::create(Loop& loop, HttpClientLimits limits) {
  return std::make_unique<PoolingClient>(loop, limits);
}

std::unique_ptr<Call> fetch(Loop& loop, HttpClient& client, const Address& address, ClientRequest request,
                            Duration timeout, Bytes body_limit, OnResponse on_response) {
  auto fetching = std::make_shared<Fetching>(loop, body_limit, std::move(on_response));
  fetching->start(client, address, std::move(request), timeout);
  return std::make_unique<FetchCall>(std::move(fetching));
}

}  // namespace qlm::net
