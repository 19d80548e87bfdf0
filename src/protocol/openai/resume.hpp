// How a generation that was broken off can go on (docs/operations.md): as far as the request's own words allow.
#pragma once

#include "core/domain/request.hpp"
#include "protocol/openai/request.hpp"

namespace qlm::openai {

// What its engine can do may be less. `exact` where token ids are all there is to its state and text deltas are all its
// client is given; `restart` where what has gone out could not be continued; `none` where making it twice may do something.
ResumeLevel resume_level(const RequestFacts& facts);

}  // namespace qlm::openai
