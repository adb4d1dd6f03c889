#include "daemon/configuration/site_files.hpp"
