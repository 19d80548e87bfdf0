// `qlm serve`: the queue in front of the engines.
#pragma once

namespace qlm::gateway {

// Exit codes: 0 drained; 1 it could not start; 2 the command line or the configuration is wrong; 3 stopped with requests unanswered.
int run(int argc, char** argv);

}  // namespace qlm::gateway
