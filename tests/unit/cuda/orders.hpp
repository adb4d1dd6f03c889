// Runs a test's body in each order of lanes that the emulation has; once, on a device.
#pragma once

#include "compression/cuda/device_language.hpp"

#include <doctest/doctest.h>

namespace longhaul::compression::cuda {

#if defined(LONGHAUL_CUDA_KERNELS)

template <class Body>
void in_each_order(Body body) {
  body();
}

#else

template <class Body>
void in_each_order(Body body) {
  for (const Order order : {Order::kForward, Order::kReverse, Order::kRandom}) {
    CAPTURE(static_cast<int>(order));
    set_order(order, 17);
    body();
  }
  set_order(Order::kForward);
}

#endif

}  // namespace longhaul::compression::cuda
