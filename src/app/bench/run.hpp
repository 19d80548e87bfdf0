// `qlm bench` replays traces and measures engines; `qlm workload` writes the traces.
#pragma once

namespace qlm::bench {

// Exit codes: 0 done; 1 failed; 2 wrong usage; 3 --strict and not every request answered whole; 130 interrupted.
int run(int argc, char** argv);
// Exit codes: 0 written; 1 could not write; 2 wrong usage.
int workload_run(int argc, char** argv);

}  // namespace qlm::bench
