// Reads wrong bytes as .wav and .bin files, changed at random from right ones, and stops where a reader does anything
// but read them or say why not. Built with -DSANITIZE=ON it also stops at any memory error or undefined behaviour.
//
//     fuzz_samples SECONDS [SEED]

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "errors.h"
#include "samples.h"

namespace {

using Random = std::mt19937_64;

size_t Below(size_t limit, Random *random) { return (*random)() % limit; }

void Append(std::vector<char> *bytes, uint32_t number, uint32_t width) {
  for (uint32_t i = 0; i < width; ++i) {
    bytes->push_back(static_cast<char>(number >> (8U * i)));
  }
}

// A wav file that is right as long as `coding` and `bits` are a pair that is read.
std::vector<char> MakeWav(Random *random) {
  constexpr uint32_t kCodings[] = {1, 3, 0xFFFE}, kBits[] = {8, 16, 24, 32};
  const uint32_t coding = kCodings[Below(3, random)], bits = kBits[Below(4, random)];
  const auto count = static_cast<uint32_t>(Below(64, random));
  std::vector<char> bytes = {'R', 'I', 'F', 'F', 0, 0, 0, 0, 'W', 'A', 'V', 'E', 'f', 'm', 't', ' '};
  const uint32_t length = coding == 0xFFFE ? 40 : 16;
  Append(&bytes, length, 4);
  Append(&bytes, coding, 2);
  Append(&bytes, 1, 2);
  Append(&bytes, 8000, 4);
  Append(&bytes, 8000 * bits / 8, 4);
  Append(&bytes, bits / 8, 2);
  Append(&bytes, bits, 2);
  for (uint32_t i = 16; i < length; ++i) {
    Append(&bytes, i == 24 ? 1 : 0, 1);
  }
  for (const char letter : {'d', 'a', 't', 'a'}) {
    bytes.push_back(letter);
  }
  Append(&bytes, count * bits / 8, 4);
  for (uint32_t i = 0; i < count * bits / 8; ++i) {
    Append(&bytes, static_cast<uint32_t>((*random)()), 1);
  }
  return bytes;
}

void Mutate(std::vector<char> *bytes, Random *random) {
  constexpr uint32_t kNumbers[] = {0, 1, 2, 3, 16, 255, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF};
  if (bytes->empty()) {
    return;
  }
  const size_t place = Below(bytes->size(), random);
  switch (Below(4, random)) {
    case 0:
      (*bytes)[place] = static_cast<char>((*random)());
      break;
    case 1:
      bytes->resize(place);
      break;
    case 2:
      bytes->insert(bytes->begin() + static_cast<std::ptrdiff_t>(place), Below(8, random), '\0');
      break;
    default: {
      const uint32_t number = kNumbers[Below(std::size(kNumbers), random)];
      for (size_t i = 0; i < 4 && place + i < bytes->size(); ++i) {
        (*bytes)[place + i] = static_cast<char>(number >> (8 * i));
      }
    }
  }
}

// Whether a reader took the bytes; it may refuse them, but what it gives must be samples.
template <typename Reader>
bool IsRead(Reader reader, const std::vector<char> &bytes) {
  std::vector<float> samples;
  try {
    samples = reader(bytes);
  } catch (const UserError &) {
    return false;
  }
  bool finite = !samples.empty();
  for (const float sample : samples) {
    finite = finite && std::isfinite(sample);
  }
  if (!finite) {
    std::cerr << "gave what are no samples\n";
    std::abort();
  }
  return true;
}

}  // namespace

int main(int argc, char **argv) {
  if (argc < 2 || argc > 3) {
    std::cerr << "usage: fuzz_samples SECONDS [SEED]\n";
    return 2;
  }
  const std::chrono::duration<double> limit(std::strtod(argv[1], nullptr));
  Random random(argc == 3 ? std::strtoull(argv[2], nullptr, 10) : 0);
  const auto start = std::chrono::steady_clock::now();
  size_t inputs = 0, wavs = 0, bins = 0;
  while (std::chrono::steady_clock::now() - start < limit) {
    std::vector<char> bytes = MakeWav(&random);
    for (size_t mutations = Below(6, &random); mutations > 0; --mutations) {
      Mutate(&bytes, &random);
    }
    ++inputs;
    wavs += IsRead([](const std::vector<char> &file) { return ParseWav(file).samples; }, bytes) ? 1 : 0;
    bins += IsRead(ParseBin, bytes) ? 1 : 0;
  }
  std::cout << inputs << " inputs: " << wavs << " read as wav, " << bins << " as bin, all others refused\n";
  return wavs > 0 && bins > 0 ? 0 : 1;  // where nothing is read, nothing was tried
}
