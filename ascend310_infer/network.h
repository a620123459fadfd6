// A network that MindSpore runs, whichever of its C++ runtimes the program is built with.
#ifndef CONV_TASNET_NETWORK_H_
#define CONV_TASNET_NETWORK_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace mindspore {
class Model;
}

// What export.py writes: from mixtures [batch, length] to estimates [batch, speakers, length], float32.
class Network {
 public:
  // Load a MindIR file onto "Ascend" or "CPU" and run it once on silence, since the first run also sets up what later
  // ones use. Throws UserError, naming the file or the device, if MindSpore cannot, or if the file holds another kind of
  // network.
  Network(const std::string &path, const std::string &device_type, uint32_t device_id);
  ~Network();

  int64_t batch() const { return batch_; }
  int64_t length() const { return length_; }

  // Separate batch * length samples. Throws UserError if there are more or fewer, if MindSpore fails, or if it gives
  // anything but finite numbers.
  std::vector<float> Separate(const std::vector<float> &mixtures);

 private:
  std::unique_ptr<mindspore::Model> model_;
  int64_t batch_ = 0, length_ = 0;
};

#endif  // CONV_TASNET_NETWORK_H_
