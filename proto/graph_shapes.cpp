#include "proto/plan.hpp"
