// Convert a network that export.py wrote as ONNX to the MindIR file that MindSpore Lite 2.0.0 runs:
//
//     convert conv_tasnet.onnx conv_tasnet
//
// writes conv_tasnet.mindir. Lite 2.0.0, the release that is a Python package, does not read the MindIR of MindSpore
// 2.10. Its converter is in its library, though the package has no header of it and calls it only from Python 3.7.

#include <iostream>
#include <memory>
#include <vector>

#include "include/api/dual_abi_helper.h"
#include "include/api/status.h"
#include "include/api/types.h"
#include "include/registry/converter_context.h"

namespace mindspore {

struct ConverterPara;

// What the library exports under this name, as far as it is used here.
class MS_API Converter {
 public:
  Converter();
  void SetSaveType(ModelType type);
  Status Convert(converter::FmkType format, const std::vector<char> &model, const std::vector<char> &output,
                 const std::vector<char> &weights);

 private:
  std::shared_ptr<ConverterPara> data_;
};

}  // namespace mindspore

int main(int argc, char **argv) {
  if (argc != 3) {
    std::cerr << "usage: convert FILE.onnx OUTPUT (without .mindir)\n";
    return 2;
  }
  mindspore::Converter converter;
  converter.SetSaveType(mindspore::ModelType::kMindIR);
  const mindspore::Status status = converter.Convert(mindspore::converter::kFmkTypeOnnx,
                                                     mindspore::StringToChar(argv[1]),
                                                     mindspore::StringToChar(argv[2]), {});
  if (!status.IsOk()) {
    std::cerr << "error: " << argv[1] << ": cannot be converted to MindIR (" << status.ToString() << ")\n";
    return 2;
  }
  return 0;
}
