// `qlm serve`, the queue in front of the engines, and `qlm check`, which looks at its configuration.
#pragma once

namespace qlm::gateway {

// Exit codes: 0 drained; 1 it could not start; 2 the command line or the configuration is wrong; 3 stopped with requests unanswered.
int run(int argc, char** argv);

// Exit codes: 0 good; 1 problems found; 2 the command line is wrong.
int check_run(int argc, char** argv);

}  // namespace qlm::gateway
