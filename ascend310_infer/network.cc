#include "network.h"

#include <algorithm>
#include <cmath>
#include <thread>

#include "build_model.h"
#include "errors.h"
#include "include/api/context.h"
#include "include/api/model.h"
#include "include/api/types.h"

namespace {

using mindspore::MSTensor;

std::string OneLine(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

std::shared_ptr<mindspore::Context> MakeContext(const std::string &device_type, uint32_t device_id) {
  auto context = std::make_shared<mindspore::Context>();
  if (device_type == "Ascend") {
    auto device = std::make_shared<mindspore::AscendDeviceInfo>();
    device->SetDeviceID(device_id);
    device->SetPrecisionMode(kPreferFloat32);
    context->MutableDeviceInfo().push_back(device);
  } else if (device_type == "CPU") {
    context->SetThreadNum(static_cast<int32_t>(std::max(1U, std::thread::hardware_concurrency())));
    context->MutableDeviceInfo().push_back(std::make_shared<mindspore::CPUDeviceInfo>());
  } else {
    throw UserError("--device_type " + device_type + ": choose from Ascend, CPU");
  }
  return context;
}

}  // namespace

Network::Network(const std::string &path, const std::string &device_type, uint32_t device_id)
    : model_(std::make_unique<mindspore::Model>()) {
  const mindspore::Status status = BuildModel(model_.get(), path, MakeContext(device_type, device_id));
  if (!status.IsOk()) {
    throw UserError(path + ": this MindSpore cannot run it on " + device_type + " " + std::to_string(device_id) + " (" +
                    OneLine(status.ToString()) +
                    "); GLOG_v=2 in the environment shows why, README.md tells which file is for which device");
  }
  const std::vector<MSTensor> inputs = model_->GetInputs();
  if (inputs.size() != 1 || inputs[0].DataType() != mindspore::DataType::kNumberTypeFloat32 ||
      inputs[0].Shape().size() != 2 || inputs[0].Shape()[0] < 1 || inputs[0].Shape()[1] < 1) {
    throw UserError(path + ": does not take mixtures [batch, length] of one fixed length; export it with --length");
  }
  batch_ = inputs[0].Shape()[0];
  length_ = inputs[0].Shape()[1];
  try {
    Separate(std::vector<float>(static_cast<size_t>(batch_ * length_)));
  } catch (const UserError &error) {
    throw UserError(path + ": " + error.what());
  }
}

Network::~Network() = default;

std::vector<float> Network::Separate(const std::vector<float> &mixtures) {
  // MindSpore itself would take what is too short, and give wrong numbers.
  MSTensor input = model_->GetInputs()[0];
  const size_t bytes = mixtures.size() * sizeof(float);
  if (bytes != input.DataSize()) {
    throw UserError(std::to_string(mixtures.size()) + " samples, but the model takes " + std::to_string(batch_) +
                    " x " + std::to_string(length_) + "; cut it with cut_pieces.py, or export another --length");
  }
  const std::vector<MSTensor> inputs = {MSTensor(input.Name(), input.DataType(), input.Shape(), mixtures.data(), bytes)};
  std::vector<MSTensor> outputs;
  const mindspore::Status status = model_->Predict(inputs, &outputs);
  if (!status.IsOk()) {
    throw UserError("MindSpore cannot run the model on it (" + OneLine(status.ToString()) + ")");
  }
  if (outputs.size() != 1 || outputs[0].DataType() != mindspore::DataType::kNumberTypeFloat32 ||
      outputs[0].DataSize() == 0 || outputs[0].DataSize() % bytes != 0) {
    throw UserError("the model does not give estimates [batch, speakers, length]; export it with export.py");
  }
  const std::shared_ptr<const void> data = outputs[0].Data();
  const auto *first = static_cast<const float *>(data.get());
  const size_t count = outputs[0].DataSize() / sizeof(float);
  std::vector<float> estimates(first, first + count);
  if (!std::all_of(estimates.begin(), estimates.end(), [](float sample) { return std::isfinite(sample); })) {
    throw UserError("the model gives NaN or infinite samples for it; export a checkpoint from before that");
  }
  return estimates;
}
