// Separate a folder of mixtures with an exported network.
//
//     main --model conv_tasnet.mindir --input pieces --output estimates --device_type Ascend --device_id 0
//
// The input folder holds .bin files, bare float32 numbers [batch, length] as cut_pieces.py writes them, and .wav
// files of the network's sample rate and length. NAME.bin becomes NAME_0.bin, float32 [batch, speakers, length];
// NAME.wav becomes that and NAME_s1.wav, NAME_s2.wav ..., at the levels that the network gives. The sample rate is read
// from MODEL.json, which export.py writes beside the model.

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "errors.h"
#include "network.h"
#include "samples.h"

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr char kUsage[] =
    "usage: main --model FILE --input FOLDER --output FOLDER --device_type Ascend|CPU [--device_id N]\n"
    "  --model        MindIR file of export.py, with its FILE.json beside it\n"
    "  --input        folder of .bin files, float32 [batch, length], and of .wav files\n"
    "  --output       folder for NAME_0.bin and NAME_s1.wav ...; made if missing\n"
    "  --device_type  where to compute\n"
    "  --device_id    number of the card (default: 0)\n";

struct Options {
  std::string model, input, output, device_type;
  uint32_t device_id;
};

bool IsWholeNumber(const std::string &text) {
  return !text.empty() && text.size() <= 9 && text.find_first_not_of("0123456789") == std::string::npos;
}

Options ParseOptions(const std::vector<std::string> &arguments) {
  std::map<std::string, std::string> values = {
      {"--model", ""}, {"--input", ""}, {"--output", ""}, {"--device_type", ""}, {"--device_id", "0"}};
  for (size_t i = 0; i < arguments.size(); i += 2) {
    const auto value = values.find(arguments[i]);
    if (value == values.end()) {
      throw UserError(arguments[i] + ": no such option; --help lists them");
    }
    if (i + 1 == arguments.size()) {
      throw UserError(arguments[i] + ": its value is missing");
    }
    value->second = arguments[i + 1];
  }
  for (const auto &[name, value] : values) {
    if (value.empty()) {
      throw UserError(name + ": must be given; --help tells what it is");
    }
  }
  if (!IsWholeNumber(values["--device_id"])) {
    throw UserError("--device_id " + values["--device_id"] + ": must be a whole number, such as 0");
  }
  return {values["--model"], values["--input"], values["--output"], values["--device_type"],
          static_cast<uint32_t>(std::stoul(values["--device_id"]))};
}

// The sample rate in the JSON file beside the model. All else there is for the Python scripts.
uint32_t ReadSampleRate(const std::string &model) {
  const std::string path = model + ".json", name = "\"sample_rate\":";
  const std::vector<char> bytes = ReadFile(path);
  const std::string text(bytes.begin(), bytes.end());
  const size_t place = text.find(name);
  const size_t first = place == std::string::npos ? place : text.find_first_not_of(' ', place + name.size());
  const std::string number =
      first == std::string::npos ? "" : text.substr(first, text.find_first_of(",}\n", first) - first);
  if (!IsWholeNumber(number) || number[0] == '0') {
    throw UserError(path + ": has no whole sample_rate; copy the file that export.py wrote beside the model");
  }
  return static_cast<uint32_t>(std::stoul(number));
}

std::vector<fs::path> ListInputs(const std::string &folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string ending = entry->path().extension().string();
    if (ending == ".bin" || ending == ".wav") {
      files.push_back(entry->path());
    }
  }
  if (error) {
    throw UserError("--input " + folder + ": cannot be read (" + error.message() + ")");
  }
  if (files.empty()) {
    throw UserError("--input " + folder + ": has no .bin or .wav files; cut_pieces.py writes some");
  }
  std::sort(files.begin(), files.end());
  return files;
}

// The samples of a .bin or .wav file.
std::vector<float> ReadMixtures(const fs::path &file, uint32_t sample_rate) {
  const std::vector<char> bytes = ReadFile(file.string());
  if (file.extension() == ".bin") {
    return ParseBin(bytes);
  }
  Recording recording = ParseWav(bytes);
  if (recording.sample_rate != sample_rate) {
    throw UserError(std::to_string(recording.sample_rate) + " Hz, but the model is for " + std::to_string(sample_rate) +
                    "; resample it");
  }
  return std::move(recording.samples);
}

void WriteEstimates(const fs::path &file, const Options &options, const Network &network, uint32_t sample_rate,
                    const std::vector<float> &estimates) {
  const std::string stem = (fs::path(options.output) / file.stem()).string();
  WriteBin(stem + "_0.bin", estimates);
  if (file.extension() == ".wav") {  // of batch 1, since a wav file holds one mixture
    const auto length = static_cast<size_t>(network.length());
    for (size_t speaker = 0; speaker * length < estimates.size(); ++speaker) {
      WriteWav(stem + "_s" + std::to_string(speaker + 1) + ".wav", estimates.data() + speaker * length,
               static_cast<uint32_t>(length), sample_rate);
    }
  }
}

// Separate the files one by one; what fails is told and counted. Returns how many failed.
size_t SeparateFiles(const std::vector<fs::path> &files, const Options &options, Network *network,
                     uint32_t sample_rate) {
  std::set<std::string> stems;
  size_t failed = 0;
  double total = 0;
  for (const fs::path &file : files) {
    try {
      if (!stems.insert(file.stem().string()).second) {
        throw UserError("its estimates would overwrite those of the .bin file of this name; rename one");
      }
      const std::vector<float> mixtures = ReadMixtures(file, sample_rate);
      if (file.extension() == ".wav" && network->batch() != 1) {
        throw UserError("the model takes batches of " + std::to_string(network->batch()) +
                        "; export it with --batch_size 1 for .wav files");
      }
      const Clock::time_point start = Clock::now();
      const std::vector<float> estimates = network->Separate(mixtures);
      const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
      WriteEstimates(file, options, *network, sample_rate, estimates);
      total += seconds;
      std::printf("%s: %.1f ms\n", file.filename().string().c_str(), 1000 * seconds);
    } catch (const UserError &error) {
      std::cerr << "error: " << file.string() << ": " << error.what() << '\n';
      ++failed;
    }
  }
  const size_t done = files.size() - failed;
  if (done > 0) {
    const double mixtures = static_cast<double>(done) * static_cast<double>(network->batch());
    const double audio = mixtures * static_cast<double>(network->length()) / sample_rate;
    std::printf("%zu files: mean %.1f ms a file, %.1f mixtures a second, real-time factor %.4f (warm-up excluded)\n",
                done, 1000 * total / static_cast<double>(done), mixtures / total, total / audio);
  }
  return failed;
}

void Run(const Options &options) {
  if (!fs::is_regular_file(options.model)) {
    throw UserError("--model " + options.model + ": no such file; export.py writes one");
  }
  const uint32_t sample_rate = ReadSampleRate(options.model);
  const std::vector<fs::path> files = ListInputs(options.input);
  Network network(options.model, options.device_type, options.device_id);
  std::error_code error;
  fs::create_directories(options.output, error);
  if (error) {
    throw UserError("--output " + options.output + ": cannot be made (" + error.message() + ")");
  }
  std::printf("%s on %s %u: %ld x %ld samples at %u Hz\n", options.model.c_str(), options.device_type.c_str(),
              options.device_id, network.batch(), network.length(), sample_rate);
  const size_t failed = SeparateFiles(files, options, &network, sample_rate);
  if (failed > 0) {
    throw UserError(std::to_string(failed) + " of " + std::to_string(files.size()) +
                    " files were not separated, for the reasons above");
  }
}

// Start anew with MindSpore's own log switched off, unless the user has chosen its level: MindSpore reads the variable
// when its library is loaded, which is before main, and writes a page for each failure.
void QuietMindSpore(char **argv) {
  if (std::getenv("GLOG_v") == nullptr && setenv("GLOG_v", "4", 0) == 0) {
    execv("/proc/self/exe", argv);
  }
}

}  // namespace

int main(int argc, char **argv) {
  try {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    if (std::find(arguments.begin(), arguments.end(), "--help") != arguments.end()) {
      std::cout << kUsage;
      return 0;
    }
    QuietMindSpore(argv);
    Run(ParseOptions(arguments));
  } catch (const std::exception &error) {
    std::cerr << "error: " << error.what() << '\n';
    return 2;
  }
  return 0;
}
