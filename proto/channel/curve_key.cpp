#include "proto/channel/control_channel.hpp"
#include "proto/channel/tensor_channel.hpp"
