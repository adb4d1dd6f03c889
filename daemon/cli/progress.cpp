#include "daemon/cli/progress.hpp"
