#include "daemon/cli/summary.hpp"
