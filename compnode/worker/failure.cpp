// Exceptions to errors to messages.
#include "compnode/worker/failure.hpp"

#include <c10/util/Exception.h>

#include <new>
#include <string>

namespace longhaul::compnode {
namespace {

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace

proto::Error error_of(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const proto::Failed& failed) {
    return failed.error();
  } catch (const std::bad_alloc&) {
    return {proto::ErrorKind::kResource, "out of memory; use more nodes, or a smaller micro_batch"};
  } catch (const c10::Error& error) {
    const std::string message = first_line(error.what_without_backtrace());
    const bool memory = message.find("allocate") != std::string::npos ||
                        message.find("out of memory") != std::string::npos;
    return {memory ? proto::ErrorKind::kResource : proto::ErrorKind::kInternal,
            "LibTorch: " + message};
  } catch (const std::exception& error) {
    return {proto::ErrorKind::kInternal, first_line(error.what())};
  } catch (...) {
    return {proto::ErrorKind::kInternal, "an exception of an unknown type"};
  }
}

}  // namespace longhaul::compnode
