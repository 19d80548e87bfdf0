// `qlm check FILE`: everything that is wrong with a configuration, without using it.
#pragma once

namespace qlm::cli {

int check_run(int argc, char** argv);

}  // namespace qlm::cli
