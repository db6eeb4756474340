// Notes in files of a folder. Keys have letters, digits and dashes.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>

namespace notes {

constexpr std::size_t most = 65536;  // bytes of a note

class Store {
public:
    // Throws std::filesystem::filesystem_error where there is no such folder.
    explicit Store(std::filesystem::path folder);
    // Stored and on the disk when it returns; throws std::system_error where that fails.
    void write(const std::string &key, const std::string &text) const;
    std::optional<std::string> read(const std::string &key) const;
    bool has(const std::string &key) const;
    // False where there was none.
    bool remove(const std::string &key) const;

private:
    std::filesystem::path folder_;
};

// Whether a key may be the name of a file.
bool good(const std::string &key);

}  // namespace notes
