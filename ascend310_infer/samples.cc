#include "samples.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>

#include "errors.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are copied as they stand in little-endian files");

namespace {

constexpr uint16_t kPcm = 1, kFloat = 3, kExtensible = 0xFFFE;
constexpr size_t kChunkHeader = 8;  // bytes: a name of four letters and a length

struct WavFormat {
  uint16_t coding, channels, bits;
  uint32_t sample_rate;
};

template <typename Number>
Number NumberAt(std::string_view bytes, size_t offset) {
  Number number;
  std::memcpy(&number, bytes.data() + offset, sizeof(number));
  return number;
}

void RequireFinite(const std::vector<float> &numbers) {
  if (!std::all_of(numbers.begin(), numbers.end(), [](float number) { return std::isfinite(number); })) {
    throw UserError("has NaN or infinite samples; repair or remove it");
  }
}

WavFormat ParseFormat(std::string_view chunk) {
  if (chunk.size() < 16) {
    throw UserError("damaged, its format takes " + std::to_string(chunk.size()) + " bytes; copy it again");
  }
  WavFormat format{NumberAt<uint16_t>(chunk, 0), NumberAt<uint16_t>(chunk, 2), NumberAt<uint16_t>(chunk, 14),
                   NumberAt<uint32_t>(chunk, 4)};
  if (format.coding == kExtensible && chunk.size() >= 26) {
    format.coding = NumberAt<uint16_t>(chunk, 24);
  }
  const bool known = (format.coding == kPcm && (format.bits == 16 || format.bits == 24 || format.bits == 32)) ||
                     (format.coding == kFloat && format.bits == 32);
  if (!known) {
    throw UserError("wav coding " + std::to_string(format.coding) + " of " + std::to_string(format.bits) +
                    " bits; convert it to 16, 24 or 32-bit PCM or 32-bit floating point");
  }
  if (format.channels != 1) {
    throw UserError(std::to_string(format.channels) + " channels, expected one; mix it down to mono");
  }
  if (format.sample_rate == 0) {
    throw UserError("damaged, its sample rate is 0; copy it again");
  }
  return format;
}

std::vector<float> Decode(std::string_view data, const WavFormat &format) {
  const size_t width = format.bits / 8;
  if (data.empty() || data.size() % width != 0) {
    throw UserError("its " + std::to_string(data.size()) + " bytes of samples are not one or more of " +
                    std::to_string(width) + " bytes each; copy it again");
  }
  std::vector<float> samples(data.size() / width);
  if (format.coding == kFloat) {
    std::memcpy(samples.data(), data.data(), data.size());
    return samples;
  }
  for (size_t i = 0; i < samples.size(); ++i) {
    uint32_t number = 0;  // the sample in its highest bits
    std::memcpy(reinterpret_cast<char *>(&number) + sizeof(number) - width, data.data() + i * width, width);
    samples[i] = static_cast<float>(static_cast<int32_t>(number) / 2147483648.0);
  }
  return samples;
}

// Write pieces one after another into a hidden file beside `path`, which becomes `path` once all of it is there.
void WriteWhole(const std::string &path, const std::vector<std::string_view> &pieces) {
  const std::filesystem::path target(path);
  const std::string partial = (target.parent_path() / ("." + target.filename().string() + ".partial")).string();
  std::FILE *file = std::fopen(partial.c_str(), "wb");
  bool written = file != nullptr;
  int reason = errno;
  for (const std::string_view &piece : pieces) {
    if (written && std::fwrite(piece.data(), 1, piece.size(), file) != piece.size()) {
      written = false;
      reason = errno;
    }
  }
  if (file != nullptr && std::fclose(file) != 0 && written) {
    written = false;
    reason = errno;
  }
  if (written && std::rename(partial.c_str(), path.c_str()) != 0) {
    written = false;
    reason = errno;
  }
  if (!written) {
    std::remove(partial.c_str());
    throw UserError(path + ": cannot be written (" + std::generic_category().message(reason) +
                    "); is there room and permission?");
  }
}

void Append(std::string *bytes, uint32_t number, size_t width) {
  bytes->append(reinterpret_cast<const char *>(&number), width);
}

}  // namespace

std::vector<char> ReadFile(const std::string &path) {
  std::vector<char> bytes;
  std::FILE *file = std::fopen(path.c_str(), "rb");
  int reason = errno;
  bool read = file != nullptr;
  char block[65536];
  while (read) {
    const size_t count = std::fread(block, 1, sizeof(block), file);
    bytes.insert(bytes.end(), block, block + count);
    if (count < sizeof(block)) {
      read = std::ferror(file) == 0;
      reason = errno;
      break;
    }
  }
  if (file != nullptr) {
    (void)std::fclose(file);  // nothing was written
  }
  if (!read) {
    throw UserError(path + ": cannot be read (" + std::generic_category().message(reason) + ")");
  }
  return bytes;
}

std::vector<float> ParseBin(const std::vector<char> &bytes) {
  if (bytes.empty() || bytes.size() % sizeof(float) != 0) {
    throw UserError("its " + std::to_string(bytes.size()) + " bytes are not one or more float32 numbers");
  }
  std::vector<float> numbers(bytes.size() / sizeof(float));
  std::memcpy(numbers.data(), bytes.data(), bytes.size());
  RequireFinite(numbers);
  return numbers;
}

Recording ParseWav(const std::vector<char> &bytes) {
  const std::string_view file(bytes.data(), bytes.size());
  if (file.size() < 12 || file.substr(0, 4) != "RIFF" || file.substr(8, 4) != "WAVE") {
    throw UserError("not a RIFF wav file; convert it to one");
  }
  std::optional<WavFormat> format;
  for (size_t offset = 12; offset + kChunkHeader <= file.size();) {
    const std::string_view name = file.substr(offset, 4);
    const size_t length = NumberAt<uint32_t>(file, offset + 4);
    offset += kChunkHeader;
    if (length > file.size() - offset) {
      throw UserError("cut short, its header promises more than it has; copy it again");
    }
    const std::string_view chunk = file.substr(offset, length);
    if (name == "fmt ") {
      format = ParseFormat(chunk);
    } else if (name == "data") {
      if (!format) {
        throw UserError("damaged, its samples come before their format; convert it anew");
      }
      Recording recording{Decode(chunk, *format), format->sample_rate};
      RequireFinite(recording.samples);
      return recording;
    }
    offset += length + length % 2;  // chunks begin at even places
  }
  throw UserError("has no samples; copy it again");
}

void WriteBin(const std::string &path, const std::vector<float> &numbers) {
  WriteWhole(path, {{reinterpret_cast<const char *>(numbers.data()), numbers.size() * sizeof(float)}});
}

void WriteWav(const std::string &path, const float *samples, uint32_t count, uint32_t sample_rate) {
  const uint32_t width = sizeof(float), bytes = count * width;
  std::string header = "RIFF";
  Append(&header, 4 + (kChunkHeader + 18) + (kChunkHeader + 4) + kChunkHeader + bytes, 4);
  header += "WAVEfmt ";
  Append(&header, 18, 4);
  Append(&header, kFloat, 2);
  Append(&header, 1, 2);  // channel
  Append(&header, sample_rate, 4);
  Append(&header, sample_rate * width, 4);
  Append(&header, width, 2);
  Append(&header, 8 * width, 2);
  Append(&header, 0, 2);  // no extension
  header += "fact";       // which a file of floating point has to have
  Append(&header, 4, 4);
  Append(&header, count, 4);
  header += "data";
  Append(&header, bytes, 4);
  WriteWhole(path, {header, {reinterpret_cast<const char *>(samples), bytes}});
}
