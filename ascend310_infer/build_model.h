// Where MindSpore's two C++ runtimes differ: MindSpore Lite (build_model_lite.cc) and the libmindspore.so of the Ascend
// packages up to 1.10 (build_model_classic.cc).
#ifndef CONV_TASNET_BUILD_MODEL_H_
#define CONV_TASNET_BUILD_MODEL_H_

#include <memory>
#include <string>

#include "include/api/context.h"
#include "include/api/model.h"
#include "include/api/status.h"

// Precision mode of an Ascend device. The default would be float16 throughout. With this one an operator keeps float32
// where the card has it; the matrix products of an Ascend 310 or 310P, which has no others, are in float16.
extern const char *const kPreferFloat32;

// Load a MindIR file into `model`, ready to run.
mindspore::Status BuildModel(mindspore::Model *model, const std::string &path,
                             const std::shared_ptr<mindspore::Context> &context);

#endif  // CONV_TASNET_BUILD_MODEL_H_
