// The client listener's routes: who may come in, what is asked for, and the sessions of what was accepted.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "app/gateway/accounting.hpp"
#include "app/gateway/fleet.hpp"
#include "app/gateway/registry.hpp"
#include "app/gateway/request_names.hpp"
#include "app/gateway/request_session.hpp"
#include "core/domain/explain.hpp"
#include "protocol/openai/json_write.hpp"
#include "runtime/config/configuration.hpp"
#include "runtime/net/http_server.hpp"

namespace qlm::gateway {

class FrontDoor {
 public:
  FrontDoor(net::Loop& loop, net::HttpClient& client, ControllerHost& host, Fleet& fleet, Registry& registry,
            Accounting& accounting, const config::Configuration& configuration);

  void apply(const config::Configuration& configuration);
  void handle(std::shared_ptr<net::Exchange> exchange);
  void perform(const Action& action);  // those that concern a request
  std::size_t sessions() const { return sessions_.size(); }
  // The time to drain is over: whoever is unanswered is told so, and it is logged.
  void give_up_all();

  // -- for operators: every tenant's
  const RequestNames& names() const { return names_; }
  void answer_queue(net::Exchange& exchange) const;
  // `tenant`: who asks; null: an operator, who is told of decisions too, as with /explain.
  void answer_request(net::Exchange& exchange, std::string_view rest, const TenantFacts* tenant) const;
  void write_decisions(openai::JsonWriter& json, const std::vector<ExplainRecord>& records, Instant from) const;

 private:
  using Shared = std::shared_ptr<net::Exchange>;
  void get(const Shared& exchange, const TenantFacts& tenant);
  void accept(const Shared& exchange, const TenantFacts& tenant);
  const TenantFacts* authenticate(const net::Exchange& exchange) const;
  void turn_away(net::Exchange& exchange, const openai::Refusal& refusal, const TenantFacts* tenant,
                 const std::string& model = {});
  void turn_away(net::Exchange& exchange, const openai::RequestError& error, const TenantFacts& tenant);
  openai::Refusal unknown_model(const std::string& name) const;
  observe::RequestRecord record_of(const net::Exchange& exchange) const;
  void log_turned_away(observe::RequestRecord record, const TenantFacts* tenant, int status, const std::string& model);

  void answer_models(net::Exchange& exchange, std::string_view one) const;
  std::string why_it_waits(const RequestView& view, const Standing& standing) const;

  Tokens prompt_size(ModelId model, const openai::RequestFacts& facts) const;
  void learn_prompt_size(const RequestSession& session);
  void end(RequestId id);
  void keep_alive_later(RequestId id);
  void run_keep_alives();

  RequestSession* session(RequestId id) const;

  net::Loop& loop_;
  ControllerHost& host_;
  Fleet& fleet_;
  Registry& registry_;
  Accounting& accounting_;
  SessionServices services_;
  bool keys_needed_ = false;
  config::Limits limits_;
  Duration keepalive_interval_ = 10s;
  std::uint64_t last_id_;
  RequestNames names_;
  std::unordered_map<RequestId, std::shared_ptr<RequestSession>> sessions_;
  std::map<ModelId, double> tokens_per_byte_;  // learned from usage
  // All wait equally long, so those due soonest are in front; one timer serves them all.
  std::deque<std::pair<Instant, RequestId>> keep_alives_;
  net::Timer keep_alive_timer_;
};

}  // namespace qlm::gateway
