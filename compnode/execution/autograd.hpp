// LibTorch's autograd is not used: a shard computes its gradients itself.
#pragma once

namespace longhaul::compnode {

// Nothing that the calling thread computes from now on is recorded. Threads begin with recording.
void switch_autograd_off();

}  // namespace longhaul::compnode
