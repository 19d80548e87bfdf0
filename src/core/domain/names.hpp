// The words for domain values in logs, answers and metrics. One spelling each.
#pragma once

#include <string_view>

#include "core/domain/configuration.hpp"
#include "core/domain/explain.hpp"
#include "core/domain/fleet.hpp"
#include "core/domain/picture.hpp"
#include "core/domain/request.hpp"

namespace qlm {

std::string_view name(Component component);
std::string_view name(Policy policy);
std::string_view name(RequestState state);
std::string_view name(Outcome outcome);
std::string_view name(Reason reason);
std::string_view name(Decision decision);
std::string_view name(BreakerState state);
std::string_view name(BreakerCause cause);
std::string_view name(Loss loss);
std::string_view name(ChosenFor why);
std::string_view name(QueuePhase phase);
std::string_view name(Binding binding);

}  // namespace qlm
