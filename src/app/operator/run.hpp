// The operator's hand: `qlm get`, `describe`, `cordon`, `uncordon`, `drain`, `swap`, `cancel` and `reload` ask the admin
// listener of a running QLM and print what it says.
#pragma once

namespace qlm::operators {

// argv[0] is the command. Exit codes: 0 done; 1 it was refused, or nobody answered; 2 wrong usage; 3 `drain`: out of time.
int run(int argc, char** argv);

}  // namespace qlm::operators
