// The main function of the executor's tests: memory is counted from the first tensor on.
#include "compnode/execution/torch.hpp"

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

int main(int argc, char** argv) {
  longhaul::compnode::install_memory_accounting();
  longhaul::compnode::set_compute_threads(1);
  return doctest::Context(argc, argv).run();
}
