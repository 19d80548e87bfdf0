// Fields by which a caller could steer an engine past the queue: its priority, its placement, its identity inside the
// engine. They are taken out for tenants that are not trusted, and named in `x-qlm-removed`; never an error.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/http/message.hpp"
#include "protocol/openai/request.hpp"
#include "protocol/openai/splice.hpp"

namespace qlm::openai {

std::span<const std::string_view> denied_body_fields();
std::span<const std::string_view> denied_headers();  // lower case

// Whether a POST there acts on the engine itself (adapters, weights, caches, sleep) instead of asking it something.
bool denied_path(std::string_view path);

// Both return the names found, for `x-qlm-removed`: body fields as spelled, headers in lower case.
std::vector<std::string> remove_denied_fields(const RequestFacts& facts, Splice& splice);

// What an engine receives of the client's headers: no hop-by-hop fields (RFC 9110, section 7.6.1), no credentials or
// cookies meant for QLM, no framing or Host (the sender writes its own), no `x-slo-*`; and unless `trusted`, none of
// denied_headers(). Only the last kind is reported in `removed`.
http::Fields forwarded_headers(const http::Fields& from_client, bool trusted, std::vector<std::string>& removed);

// What a client receives of an engine's headers: no hop-by-hop fields, no framing, no cookies, not the server's name.
http::Fields returned_headers(const http::Fields& from_engine);

}  // namespace qlm::openai
