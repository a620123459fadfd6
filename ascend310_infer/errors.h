// What only the user can put right.
#ifndef CONV_TASNET_ERRORS_H_
#define CONV_TASNET_ERRORS_H_

#include <stdexcept>
#include <string>

// A bad file, value or combination. The message is one line: the file or option, what was found, and the way out.
class UserError : public std::runtime_error {
 public:
  explicit UserError(const std::string &message) : std::runtime_error(message) {}
};

#endif  // CONV_TASNET_ERRORS_H_
