#include "daemon/configuration/job_file.hpp"
