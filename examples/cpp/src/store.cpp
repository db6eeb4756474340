#include "store.hpp"

#include <cerrno>
#include <fstream>
#include <iterator>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

namespace notes {
namespace {

[[noreturn]] void fail(const char *what)
{
    throw std::system_error(errno, std::generic_category(), what);
}

// A file of the system, closed when it goes out of scope.
class File {
public:
    explicit File(int number) : number_(number) {}
    File(const File &) = delete;
    File &operator=(const File &) = delete;
    ~File()
    {
        if (number_ >= 0)
            close(number_);
    }
    int number() const { return number_; }

private:
    int number_;
};

}  // namespace

bool good(const std::string &key)
{
    constexpr auto known = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";
    return !key.empty() && key.size() <= 64 && key.find_first_not_of(known) == std::string::npos;
}

Store::Store(std::filesystem::path folder) : folder_(std::filesystem::canonical(folder)) {}

void Store::write(const std::string &key, const std::string &text) const
{
    const std::string pattern = folder_ / ("." + key + ".XXXXXX");
    std::vector<char> part(pattern.begin(), pattern.end());
    part.push_back('\0');
    {
        const File file(mkstemp(part.data()));
        if (file.number() < 0)
            fail("a note cannot be made");
        if (::write(file.number(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
            fsync(file.number()) != 0) {
            const int reason = errno;
            unlink(part.data());
            errno = reason;
            fail("a note cannot be written");
        }
    }
    std::filesystem::rename(part.data(), folder_ / key);
    const File place(open(folder_.c_str(), O_RDONLY | O_DIRECTORY));
    if (place.number() >= 0)  // the name is on the disk too
        fsync(place.number());
}

std::optional<std::string> Store::read(const std::string &key) const
{
    std::ifstream file(folder_ / key, std::ios::binary);
    if (!file)
        return std::nullopt;
    return std::string(std::istreambuf_iterator<char>(file), {});
}

bool Store::has(const std::string &key) const
{
    return std::filesystem::exists(folder_ / key);
}

bool Store::remove(const std::string &key) const
{
    return std::filesystem::remove(folder_ / key);
}

}  // namespace notes
