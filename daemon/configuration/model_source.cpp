#include "daemon/configuration/model_source.hpp"
