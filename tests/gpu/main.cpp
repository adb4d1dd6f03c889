// Runs the device tests where there is a device; says loudly that it skips where there is none.
#define DOCTEST_CONFIG_IMPLEMENT
#include <cuda_runtime.h>
#include <doctest/doctest.h>

#include <cstdio>

namespace {

constexpr int kSkipped = 77;  // ctest shows it as skipped, not as passed

}  // namespace

int main(int count, char** arguments) {
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status != cudaSuccess || devices == 0) {
    std::fprintf(stderr, "\n*** gpu_test: SKIPPED, NOTHING WAS TESTED: no CUDA device (%s) ***\n\n",
                 cudaGetErrorString(status));
    return kSkipped;
  }
  cudaDeviceProp properties{};
  if (cudaGetDeviceProperties(&properties, 0) == cudaSuccess) {
    std::printf("gpu_test: %s, compute capability %d.%d\n", properties.name, properties.major,
                properties.minor);
  }
  doctest::Context context(count, arguments);
  return context.run();
}
