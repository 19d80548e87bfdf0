// `qlm sim`: the production controller on a virtual clock, over suites of workloads or anybody's own trace and fleet.
#pragma once

namespace qlm::sim {

int run(int argc, char** argv);

}  // namespace qlm::sim
