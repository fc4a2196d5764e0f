// NumPy's .npy files of float32 and int64, row-major: what the example reads and writes.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

template <typename T>
struct Array {
    std::vector<int64_t> shape;
    std::vector<T> values;

    Array() = default;
    explicit Array(std::vector<int64_t> sizes) : shape(std::move(sizes)) {
        int64_t count = 1;
        for (int64_t size : shape) count *= size;
        values.assign(static_cast<size_t>(count), T{});
    }
};

namespace npy {

template <typename T>
const char* type();
template <>
inline const char* type<float>() {
    return "<f4";
}
template <>
inline const char* type<int64_t>() {
    return "<i8";
}

// The text between `open` and `close` behind `key` of a header such as {'descr': '<f4', 'fortran_order': False, ...}.
inline std::string field(const std::string& header, const std::string& key, char open, char close,
                         const std::string& file) {
    const size_t place = header.find("'" + key + "':");
    const size_t from = place == std::string::npos ? place : header.find(open, place + key.size() + 3);
    const size_t to = from == std::string::npos ? from : header.find(close, from + 1);
    if (to == std::string::npos) throw std::runtime_error(file + " has no " + key + " in its header");
    return header.substr(from + 1, to - from - 1);
}

// Throws std::runtime_error, which names the file, when it is missing, cut short or of another type or rank.
template <typename T>
Array<T> read(const std::filesystem::path& path, size_t rank) {
    const std::string file = path.string();
    std::ifstream stream(path, std::ios::binary);
    if (!stream) throw std::runtime_error(file + " cannot be read");
    char start[10] = {};
    stream.read(start, sizeof start);
    if (!stream || std::memcmp(start, "\x93NUMPY\x01\x00", 8) != 0)
        throw std::runtime_error(file + " is no .npy file of version 1.0");
    const size_t length = static_cast<uint8_t>(start[8]) + 256u * static_cast<uint8_t>(start[9]);
    std::string header(length, ' ');
    stream.read(header.data(), static_cast<std::streamsize>(length));
    if (!stream) throw std::runtime_error(file + " ends within its header");

    const std::string found = field(header, "descr", '\'', '\'', file);
    if (found != type<T>()) throw std::runtime_error(file + " holds " + found + ", it must hold " + type<T>());
    if (header.find("'fortran_order': False") == std::string::npos)
        throw std::runtime_error(file + " is not row-major");
    std::vector<int64_t> shape;
    const std::string sizes = field(header, "shape", '(', ')', file);
    for (size_t at = 0; at < sizes.size();) {
        size_t used = 0;
        shape.push_back(std::stoll(sizes.substr(at), &used));
        at = sizes.find_first_of("0123456789", at + used);
        if (at == std::string::npos) break;
    }
    if (shape.size() != rank)
        throw std::runtime_error(file + " has " + std::to_string(shape.size()) + " dimensions, it must have " +
                                 std::to_string(rank));
    Array<T> array(shape);
    const auto bytes = static_cast<std::streamsize>(array.values.size() * sizeof(T));
    stream.read(reinterpret_cast<char*>(array.values.data()), bytes);
    if (stream.gcount() != bytes) throw std::runtime_error(file + " is cut short");
    return array;
}

template <typename T>
void write(const std::filesystem::path& path, const Array<T>& array) {
    std::string sizes;
    for (int64_t size : array.shape) sizes += std::to_string(size) + ",";
    std::string header = std::string("{'descr': '") + type<T>() + "', 'fortran_order': False, 'shape': (" + sizes + "), }";
    header.append(64 - (10 + header.size() + 1) % 64, ' ').push_back('\n');  // data begins at a multiple of 64
    std::ofstream stream(path, std::ios::binary);
    stream.write("\x93NUMPY\x01\x00", 8);
    const char length[2] = {static_cast<char>(header.size() % 256), static_cast<char>(header.size() / 256)};
    stream.write(length, 2);
    stream.write(header.data(), static_cast<std::streamsize>(header.size()));
    stream.write(reinterpret_cast<const char*>(array.values.data()),
                 static_cast<std::streamsize>(array.values.size() * sizeof(T)));
    if (!stream.flush()) throw std::runtime_error(path.string() + " cannot be written");
}

}  // namespace npy
