#include "build_model.h"

const char *const kPreferFloat32 = "preferred_fp32";

mindspore::Status BuildModel(mindspore::Model *model, const std::string &path,
                             const std::shared_ptr<mindspore::Context> &context) {
  return model->Build(path, mindspore::ModelType::kMindIR, context);
}
