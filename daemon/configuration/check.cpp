#include "daemon/configuration/check.hpp"
