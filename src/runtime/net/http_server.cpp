#include "runtime/net/http_server.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <unordered_set>
#include <utility>

#include "protocol/http/chunked.hpp"

namespace qlm::net {

namespace {

class Connection;

constexpr Bytes body_step{64 * 1024};
constexpr Duration look_at_unread = 1s;  // whether a client that is not read, because it sent ahead, is still there
constexpr unsigned retry_spread = 8;  // seconds over which those turned away come back

struct BodyBudget {
  Bytes limit;
  Bytes used{0};
};

// What the server's connections share; outlives the server while one of its callbacks destroys it.
struct Shared {
  Loop& loop;
  HttpServerLimits limits;
  RefusalBody refusal_body;
  HttpServer::Handler handler;
  std::shared_ptr<BodyBudget> bodies;
  std::unordered_set<std::shared_ptr<Connection>> connections;
  std::function<void(Duration)> on_written;
  bool draining = false;
  unsigned turned_away = 0;  // with a 503
};

// A body counts against the server's limit for as long as anyone holds it.
struct Body {
  explicit Body(std::shared_ptr<BodyBudget> b) : budget(std::move(b)) {}
  ~Body() { budget->used -= reserved; }
  Body(const Body&) = delete;
  Body& operator=(const Body&) = delete;

  bool reserve(Bytes total) {
    const Bytes more = total - reserved;
    if (budget->used + more > budget->limit) return false;
    budget->used += more;
    reserved = total;
    return true;
  }

  std::shared_ptr<BodyBudget> budget;
  Bytes reserved{0};
  std::string text;
};

// The fields that describe this one connection are the server's to write.
bool is_framing(std::string_view name) {
  return http::equals_ignoring_case(name, "Content-Length") || http::equals_ignoring_case(name, "Transfer-Encoding") ||
         http::equals_ignoring_case(name, "Connection") || http::equals_ignoring_case(name, "Keep-Alive");
}

class ServerExchange final : public Exchange {
 public:
  ServerExchange(Loop& loop, std::shared_ptr<Connection> connection, http::RequestHead head,
                 std::shared_ptr<const std::string> body, Instant first_byte, Instant received, std::string peer)
      : loop_(loop),
        connection_(std::move(connection)),
        head_(std::move(head)),
        body_(std::move(body)),
        first_byte_(first_byte),
        received_(received),
        peer_(std::move(peer)) {}
  ~ServerExchange() override { abort(); }

  const http::RequestHead& head() const override { return head_; }
  const std::shared_ptr<const std::string>& body() const override { return body_; }
  Instant first_byte_at() const override { return first_byte_; }
  Instant received_at() const override { return received_; }
  std::string peer() const override { return peer_; }

  void respond(int status, const http::Fields& fields, std::string body) override;
  void begin(int status, const http::Fields& fields) override;
  void write(std::string_view bytes) override;
  void finish() override;
  void abort() override;
  void made_of_bytes_read(Instant at) override;
  bool begun() const override { return begun_; }
  Bytes unsent() const override;
  void on_gone(Loop::Task task) override;
  void on_drained(Loop::Task task) override;

  // From the connection: the client left, or the server was destroyed (then nobody is told).
  void gone(bool tell);
  void drained();

 private:
  std::string status_line(int status, const http::Fields& fields) const;
  bool bodiless(int status) const { return head_.method == "HEAD" || status == 204 || status == 304; }
  void complete();

  Loop& loop_;
  std::shared_ptr<Connection> connection_;  // null once answered or gone
  http::RequestHead head_;
  std::shared_ptr<const std::string> body_;
  Instant first_byte_;
  Instant received_;
  std::string peer_;
  bool begun_ = false;
  bool chunked_ = false;
  bool silent_ = false;      // the answer has no body whatever is written: HEAD, 204, 304
  bool keep_alive_ = false;  // after this answer
  bool gone_ = false;
  Loop::Task gone_task_;
  Loop::Task drained_task_;
};

class Connection final : public Socket::Handler, public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<Shared> shared, std::shared_ptr<Socket> socket)
      : shared_(std::move(shared)), socket_(std::move(socket)), limit_(shared_->loop) {}

  void start() {
    socket_->set_handler(this);
    await(shared_->limits.idle_timeout);
  }

  // ---- for the exchange

  Socket& socket() { return *socket_; }
  Loop& loop() { return shared_->loop; }
  bool draining() const { return shared_->draining; }

  void answered(bool keep_alive) {
    exchange_ = nullptr;
    if (!keep_alive || draining()) return end_with(&Socket::close_after_answer);
    state_ = State::head;
    socket_->resume_reading();
    await(in_.empty() ? shared_->limits.idle_timeout : shared_->limits.head_timeout);
    if (processing_) return;  // the answer came from within the handler; the loop there goes on
    loop().post([self = shared_from_this()] { self->process(); });
  }
  void aborted() {
    exchange_ = nullptr;
    end_with(&Socket::abort);
  }

  // What was written for earlier bytes has left, or is still here and older.
  void made_of_bytes_read(Instant at) {
    if (socket_->unsent() == Bytes{0}) oldest_unwritten_ = at;
  }

  void tell_drained() {
    const auto alive = shared_from_this();
    if (exchange_ && socket_->unsent() == Bytes{0}) exchange_->drained();
  }

  // ---- for the server

  void drain() {
    if (state_ == State::head && in_.empty()) end_with(&Socket::close_after_answer);
  }
  void turn_away() { refuse(503, draining() ? "this server is stopping" : "too many connections"); }
  void destroy() {
    if (exchange_) std::exchange(exchange_, nullptr)->gone(false);
    end_with(&Socket::abort);
  }

 private:
  enum class State { head, body, answering, over };

  // ---- Socket::Handler

  void on_data(std::string_view bytes) override {
    const auto alive = shared_from_this();
    if (in_.empty() && state_ != State::body) first_byte_ = loop().now();
    if (in_.empty() && state_ == State::head) await(shared_->limits.head_timeout);
    in_ += bytes;
    process();
    // While a request is being answered reading goes on, to notice a client that leaves; but not without end.
    if (state_ == State::answering && std::ssize(in_) > shared_->limits.head.head.count) {
      socket_->pause_reading();
      watch_unread();
    }
  }

  void watch_unread() {
    limit_.after(look_at_unread, [this] {
      if (!socket_->far_end_left()) return watch_unread();
      const auto alive = shared_from_this();
      ServerExchange* exchange = std::exchange(exchange_, nullptr);
      end_with(&Socket::abort);
      if (exchange) exchange->gone(true);
    });
  }

  void on_closed(const std::string&) override {
    const auto alive = shared_from_this();
    state_ = State::over;
    limit_.cancel();
    shared_->connections.erase(alive);
    if (exchange_) std::exchange(exchange_, nullptr)->gone(true);
  }

  void on_drained() override {
    if (const Instant since = std::exchange(oldest_unwritten_, never); since != never && shared_->on_written) {
      shared_->on_written(loop().now() - since);
    }
    tell_drained();
  }

  // ---- reading requests

  void process() {
    if (processing_) return;
    processing_ = true;
    bool progress = true;
    while (progress) {
      switch (state_) {
        case State::head: progress = read_head(); break;
        case State::body: progress = read_body(); break;
        case State::answering:
        case State::over: progress = false; break;
      }
    }
    processing_ = false;
  }

  // A whole head is parsed once; one that trickles in is tried again only when its end may be there, or when it
  // has doubled (to refuse early what is no HTTP), so that many small reads stay cheap.
  bool head_worth_parsing() {
    if (in_.empty()) return false;
    const std::size_t from = head_seen_ > 3 ? head_seen_ - 3 : 0;
    head_seen_ = in_.size();
    if (in_.find("\n\r\n", from) == std::string::npos && in_.find("\n\n", from) == std::string::npos &&
        in_.size() < 2 * head_tried_) {
      return false;
    }
    head_tried_ = in_.size();
    return true;
  }

  bool read_head() {
    if (!head_worth_parsing()) return false;
    auto parsed = http::parse_request_head(in_, shared_->limits.head);
    if (!parsed) return refuse(parsed.error().status, parsed.error().message);
    if (!*parsed) return false;
    head_ = std::move((*parsed)->first);
    in_.erase(0, (*parsed)->second);
    head_seen_ = head_tried_ = 0;
    body_ = std::make_shared<Body>(shared_->bodies);
    body_awaited_.reset();
    chunks_ = {};
    if (head_.framing.kind == http::Framing::Kind::length) {
      if (head_.framing.length > shared_->limits.body) return refuse_large();
      if (!body_->reserve(head_.framing.length)) return refuse_busy();
      constexpr std::int64_t at_most = 1024 * 1024;  // more only as it comes: a claim alone must not cost memory
      body_->text.reserve(static_cast<std::size_t>(std::min(head_.framing.length.count, at_most)));
    }
    state_ = State::body;
    if (head_.expects_continue && in_.empty() && head_.framing.kind != http::Framing::Kind::none) {
      socket_->write(std::string("HTTP/1.1 100 Continue\r\n\r\n"));
    }
    return true;
  }

  bool read_body() {
    switch (head_.framing.kind) {
      case http::Framing::Kind::none:
      case http::Framing::Kind::until_close:  // requests never are
        return dispatch();
      case http::Framing::Kind::length: {
        const auto left = static_cast<std::size_t>(head_.framing.length.count) - body_->text.size();
        const std::size_t count = std::min(left, in_.size());
        body_->text.append(in_, 0, count);
        in_.erase(0, count);
        if (count == left) return dispatch();
        break;
      }
      case http::Framing::Kind::chunked:
        if (read_chunks()) return state_ == State::over ? false : dispatch();
        break;
    }
    const Bytes size{std::ssize(body_->text)};
    if (state_ == State::body && (!body_awaited_ || size - *body_awaited_ >= body_step)) {
      body_awaited_ = size;
      await(shared_->limits.body_timeout);
    }
    return false;
  }

  // True when the body is whole, or was refused.
  bool read_chunks() {
    using Kind = http::ChunkedDecoder::Step::Kind;
    std::string_view in = in_;
    while (true) {
      const auto step = chunks_.next(in);
      if (step.kind == Kind::payload) {
        body_->text += step.payload;
        const Bytes size{std::ssize(body_->text)};
        if (size > shared_->limits.body) return !refuse_large();
        if (!body_->reserve(size)) return !refuse_busy();
        continue;
      }
      if (step.kind == Kind::malformed) return !refuse(400, fmt::format("the chunked coding of the body is broken: {}", chunks_.fault()));
      in_.erase(0, in_.size() - in.size());
      return step.kind == Kind::done;
    }
  }

  // Hands the request over. True when it has been answered already and another may be in the buffer.
  bool dispatch() {
    limit_.cancel();
    state_ = State::answering;
    const Instant received = loop().now();
    const std::shared_ptr<const std::string> text(body_, &body_->text);
    body_.reset();
    auto exchange = std::make_shared<ServerExchange>(loop(), shared_from_this(), std::move(head_), text, first_byte_,
                                                     received, socket_->peer());
    exchange_ = exchange.get();
    first_byte_ = received;  // of a request that is in the buffer already
    shared_->handler(std::move(exchange));
    return state_ == State::head;
  }

  // ---- refusing

  bool refuse_large() {
    return refuse(413, fmt::format("the body is longer than the {} bytes allowed", shared_->limits.body.count));
  }
  bool refuse_busy() { return refuse(503, "too many request bodies are in flight"); }

  bool refuse(int status, const std::string& message) {
    std::string body = shared_->refusal_body ? shared_->refusal_body(status, message) : message;
    socket_->write(fmt::format("HTTP/1.1 {} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n"
                               "{}Connection: close\r\n\r\n",
                               status, http::reason_phrase(status), body.size(), status == 503 ? retry_after() : ""));
    socket_->write(std::move(body));
    end_with(&Socket::close_after_answer);
    return false;
  }

  // One after the other, so that they do not come back together.
  std::string retry_after() { return fmt::format("Retry-After: {}\r\n", 1 + shared_->turned_away++ % retry_spread); }

  void await(Duration limit) {
    limit_.after(limit, [this] { too_slow(); });
  }
  void too_slow() {
    const auto alive = shared_from_this();
    if (state_ == State::head && in_.empty()) return end_with(&Socket::close_after_answer);
    const bool head = state_ == State::head;
    const Duration limit = head ? shared_->limits.head_timeout : shared_->limits.body_timeout;
    refuse(408, head ? fmt::format("its head was not there after {:.3g} s", seconds(limit))
                     : fmt::format("less than {} KiB of its body came in {:.3g} s", body_step.count / 1024, seconds(limit)));
  }

  void end_with(void (Socket::*ending)()) {
    const auto alive = shared_from_this();
    state_ = State::over;
    limit_.cancel();
    body_.reset();
    socket_->set_handler(nullptr);
    (*socket_.*ending)();
    shared_->connections.erase(alive);
  }

  std::shared_ptr<Shared> shared_;
  std::shared_ptr<Socket> socket_;
  Timer limit_;
  State state_ = State::head;
  bool processing_ = false;
  std::string in_;  // read and not yet used
  std::size_t head_seen_ = 0;
  std::size_t head_tried_ = 0;
  Instant first_byte_{};
  Instant oldest_unwritten_ = never;
  http::RequestHead head_;
  http::ChunkedDecoder chunks_;
  std::shared_ptr<Body> body_;
  std::optional<Bytes> body_awaited_;  // how much of it there was when the wait for more began
  ServerExchange* exchange_ = nullptr;  // being answered; it keeps this connection, and takes itself out
};

// ---- ServerExchange

std::string ServerExchange::status_line(int status, const http::Fields& fields) const {
  std::string out = fmt::format("HTTP/1.1 {} {}\r\n", status, http::reason_phrase(status));
  for (const auto& field : fields.all()) {
    if (!is_framing(field.name)) out += fmt::format("{}: {}\r\n", field.name, field.value);
  }
  if (!keep_alive_) {
    out += "Connection: close\r\n";
  } else if (head_.minor_version == 0) {
    out += "Connection: keep-alive\r\n";
  }
  return out;
}

void ServerExchange::respond(int status, const http::Fields& fields, std::string body) {
  if (!connection_ || begun_) return;
  begun_ = true;
  keep_alive_ = head_.keep_alive && !connection_->draining();
  std::string head = status_line(status, fields);
  if (status != 204) head += fmt::format("Content-Length: {}\r\n", body.size());
  head += "\r\n";
  connection_->socket().write(std::move(head));
  if (!bodiless(status)) connection_->socket().write(std::move(body));
  complete();
}

void ServerExchange::begin(int status, const http::Fields& fields) {
  if (!connection_ || begun_) return;
  begun_ = true;
  silent_ = bodiless(status);
  chunked_ = head_.minor_version >= 1 && !silent_;
  keep_alive_ = head_.keep_alive && !connection_->draining() && (chunked_ || silent_);
  std::string head = status_line(status, fields);
  if (chunked_) head += "Transfer-Encoding: chunked\r\n";
  connection_->socket().write(std::move(head += "\r\n"));
}

void ServerExchange::write(std::string_view bytes) {
  if (!connection_ || !begun_ || silent_ || bytes.empty()) return;
  std::string framed;
  if (chunked_) {
    http::append_chunk(framed, bytes);
  } else {
    framed = bytes;
  }
  connection_->socket().write(std::move(framed));
}

void ServerExchange::finish() {
  if (!connection_ || !begun_) return;
  if (chunked_) connection_->socket().write(std::string(http::last_chunk));
  complete();
}

void ServerExchange::abort() {
  gone_task_ = nullptr;
  drained_task_ = nullptr;
  if (const auto connection = std::exchange(connection_, nullptr)) connection->aborted();
}

void ServerExchange::made_of_bytes_read(Instant at) {
  if (connection_) connection_->made_of_bytes_read(at);
}

void ServerExchange::complete() {
  gone_task_ = nullptr;
  drained_task_ = nullptr;
  std::exchange(connection_, nullptr)->answered(keep_alive_);
}

Bytes ServerExchange::unsent() const { return connection_ ? connection_->socket().unsent() : Bytes{0}; }

void ServerExchange::on_gone(Loop::Task task) {
  if (connection_) gone_task_ = std::move(task);
  if (gone_) loop_.post(std::move(task));
}

void ServerExchange::on_drained(Loop::Task task) {
  if (!connection_) return;
  drained_task_ = std::move(task);
  if (unsent() > Bytes{0}) return;
  // Already so: tell it, but later. The connection knows whether this exchange is still the one.
  loop_.post([connection = connection_] { connection->tell_drained(); });
}

void ServerExchange::gone(bool tell) {
  connection_.reset();
  gone_ = tell;
  drained_task_ = nullptr;
  auto task = std::exchange(gone_task_, nullptr);
  if (tell && task) task();
}

void ServerExchange::drained() {
  if (auto task = std::exchange(drained_task_, nullptr)) task();
}

// ---- HttpServer

class Server final : public HttpServer {
 public:
  explicit Server(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
  ~Server() override {
    listener_.reset();
    for (const auto& connection : std::exchange(shared_->connections, {})) connection->destroy();
  }

  void listen(std::unique_ptr<Listener> listener) { listener_ = std::move(listener); }
  std::uint16_t port() const override { return listener_->port(); }
  std::size_t connections() const override { return shared_->connections.size(); }
  void on_written(std::function<void(Duration)> tell) override { shared_->on_written = std::move(tell); }
  void set_limits(HttpServerLimits limits) override {
    shared_->bodies->limit = limits.bodies_in_flight;
    shared_->limits = limits;
  }
  void drain() override {
    shared_->draining = true;
    const auto all = shared_->connections;  // those that end take themselves out
    for (const auto& connection : all) connection->drain();
  }

  static void accept(const std::shared_ptr<Shared>& shared, std::shared_ptr<Socket> socket) {
    auto connection = std::make_shared<Connection>(shared, std::move(socket));
    if (shared->draining || shared->connections.size() >= shared->limits.connections) return connection->turn_away();
    connection->start();
    shared->connections.insert(std::move(connection));
  }

 private:
  std::shared_ptr<Shared> shared_;
  std::unique_ptr<Listener> listener_;
};

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::listen(Loop& loop, const Address& address, HttpServerLimits limits,
                                                       RefusalBody refusal_body, Handler handler) {
  auto shared = std::make_shared<Shared>(Shared{.loop = loop,
                                                .limits = limits,
                                                .refusal_body = std::move(refusal_body),
                                                .handler = std::move(handler),
                                                .bodies = std::make_shared<BodyBudget>(limits.bodies_in_flight),
                                                .connections = {},
                                                .on_written = {}});
  auto listener = Listener::open(loop, address, [shared](auto socket) { Server::accept(shared, std::move(socket)); });
  if (!listener) return std::unexpected(listener.error());
  auto server = std::make_unique<Server>(std::move(shared));
  server->listen(std::move(*listener));
  return server;
}

}  // namespace qlm::net
