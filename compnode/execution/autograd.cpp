// The mode is the thread's own.
#include "compnode/execution/autograd.hpp"

#include <ATen/core/grad_mode.h>

namespace longhaul::compnode {

void switch_autograd_off() { at::GradMode::set_enabled(false); }

}  // namespace longhaul::compnode
