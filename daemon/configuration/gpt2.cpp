#include "daemon/configuration/gpt2.hpp"
