// `qlm emulate`.
#pragma once

namespace qlm::emulator {

int run(int argc, char** argv);  // argv[0] is the command's own name

}  // namespace qlm::emulator
