// Where MindSpore's two C++ runtimes differ: MindSpore Lite (build_model_lite.cc) and the libmindspore.so of the Ascend
// packages up to 1.10 (build_model_classic.cc).
#ifndef CONV_TASNET_BUILD_MODEL_H_
#define CONV_TASNET_BUILD_MODEL_H_

#include <memory>
#include <string>

#include "include/api/context.h"
#include "include/api/model.h"
#include "include/api/status.h"

// Precision mode of an Ascend device: float32 wherever an operator has it. The default would be float16.
extern const char *const kPreferFloat32;

// Load a MindIR file into `model`, ready to run.
mindspore::Status BuildModel(mindspore::Model *model, const std::string &path,
                             const std::shared_ptr<mindspore::Context> &context);

#endif  // CONV_TASNET_BUILD_MODEL_H_
