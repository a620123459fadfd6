// Reading and writing samples: .bin files, which are bare float32 numbers, and .wav files.
#ifndef CONV_TASNET_SAMPLES_H_
#define CONV_TASNET_SAMPLES_H_

#include <cstdint>
#include <string>
#include <vector>

// Mono audio: samples within -1 and 1 where the file has integers, and how many of them are a second.
struct Recording {
  std::vector<float> samples;
  uint32_t sample_rate;
};

// The bytes of a file. Throws UserError, naming the file, if it cannot be read.
std::vector<char> ReadFile(const std::string &path);

// Little-endian float32 numbers. Throws UserError if the bytes do not make whole numbers, or one is not finite.
std::vector<float> ParseBin(const std::vector<char> &bytes);

// A RIFF wav file of 16, 24 or 32-bit PCM or of 32-bit floating point (Microsoft's and IBM's "Multimedia Programming
// Interface and Data Specifications 1.0", with WAVE_FORMAT_EXTENSIBLE). Throws UserError if it is another format, not
// mono, cut short, empty, or has a number that is not finite.
Recording ParseWav(const std::vector<char> &bytes);

// Write little-endian float32 numbers, whole or not at all. Throws UserError, naming the file, if that fails.
void WriteBin(const std::string &path, const std::vector<float> &numbers);

// Write `count` samples as a wav file of 32-bit floating point, whole or not at all. Throws UserError likewise.
void WriteWav(const std::string &path, const float *samples, uint32_t count, uint32_t sample_rate);

#endif  // CONV_TASNET_SAMPLES_H_
