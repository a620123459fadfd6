#include "build_model.h"
#include "include/api/graph.h"
#include "include/api/serialization.h"

const char *const kPreferFloat32 = "allow_fp32_to_fp16";

mindspore::Status BuildModel(mindspore::Model *model, const std::string &path,
                             const std::shared_ptr<mindspore::Context> &context) {
  mindspore::Graph graph;
  const mindspore::Status status = mindspore::Serialization::Load(path, mindspore::ModelType::kMindIR, &graph);
  return status.IsOk() ? model->Build(mindspore::GraphCell(graph), context) : status;
}
