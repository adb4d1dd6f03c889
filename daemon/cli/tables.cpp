#include "daemon/cli/tables.hpp"
