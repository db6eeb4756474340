// A small HTTP server that keeps notes: an example, in place of which your program goes. One request a connection.
#include "store.hpp"

#include <algorithm>
#include <cctype>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <iostream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

namespace {

constexpr std::size_t head_most = 16384;

struct Request {
    std::string method, path, body;
    std::map<std::string, std::string> headers;  // by names in small letters
};

struct Answer {
    std::string status, text;
};

std::string small(std::string text)
{
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char each) { return std::tolower(each); });
    return text;
}

bool more(int peer, std::string &data)
{
    char piece[4096];
    const ssize_t got = recv(peer, piece, sizeof piece, 0);
    if (got > 0)
        data.append(piece, static_cast<std::size_t>(got));
    return got > 0;
}

// False where the peer sent no whole request, or one that is too large.
bool receive(int peer, Request &request)
{
    std::string data;
    std::size_t end;
    while ((end = data.find("\r\n\r\n")) == std::string::npos)
        if (data.size() > head_most || !more(peer, data))
            return false;
    std::istringstream head(data.substr(0, end));
    std::string line;
    head >> request.method >> request.path;
    std::getline(head, line);
    while (std::getline(head, line)) {
        const auto colon = line.find(':');
        if (colon == std::string::npos)
            continue;
        const auto begin = line.find_first_not_of(' ', colon + 1), last = line.find_last_not_of(" \r");
        request.headers[small(line.substr(0, colon))] =
            begin == std::string::npos || last < begin ? "" : line.substr(begin, last - begin + 1);
    }
    request.path = request.path.substr(0, request.path.find('?'));
    const std::string length = request.headers["content-length"];
    const bool number = length.size() < 7 && length.find_first_not_of("0123456789") == std::string::npos;
    const std::size_t wanted = length.empty() ? 0 : number ? std::stoul(length) : notes::most + 1;
    if (wanted > notes::most)
        return false;
    request.body = data.substr(end + 4);
    while (request.body.size() < wanted)
        if (!more(peer, request.body))
            return false;
    request.body.resize(wanted);
    return true;
}

Answer note(const notes::Store &store, const Request &request, const std::string &key)
{
    if (!notes::good(key))
        return {"400 Bad Request", "bad key"};
    if (request.method == "PUT") {
        const bool known = store.has(key);
        store.write(key, request.body);
        return {known ? "200 OK" : "201 Created", ""};
    }
    if (request.method == "GET") {
        const auto text = store.read(key);
        return text ? Answer{"200 OK", *text} : Answer{"404 Not Found", "no such note"};
    }
    if (request.method == "DELETE")
        return store.remove(key) ? Answer{"204 No Content", ""} : Answer{"404 Not Found", "no such note"};
    return {"405 Method Not Allowed", ""};
}

Answer answer(const notes::Store &store, const std::string &token, Request &request)
{
    constexpr std::string_view notes_at = "/notes/";
    if (request.path == "/health")
        return {"200 OK", "good\n"};
    if (request.headers["x-token"] != token)
        return {"401 Unauthorized", ""};
    if (request.path.compare(0, notes_at.size(), notes_at) == 0)
        return note(store, request, request.path.substr(notes_at.size()));
    return {"404 Not Found", ""};
}

void serve(int peer, const notes::Store &store, const std::string &token)
{
    Request request;
    if (receive(peer, request)) {
        Answer said;
        try {
            said = answer(store, token, request);
        } catch (const std::exception &error) {
            std::cerr << "notesd: " << error.what() << std::endl;
            said = {"500 Internal Server Error", ""};
        }
        std::ostringstream out;
        out << "HTTP/1.1 " << said.status << "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: "
            << said.text.size() << "\r\nConnection: close\r\n\r\n" << said.text;
        const std::string whole = out.str();
        for (std::size_t sent = 0; sent < whole.size();) {
            const ssize_t count = send(peer, whole.data() + sent, whole.size() - sent, MSG_NOSIGNAL);
            if (count <= 0)
                break;
            sent += static_cast<std::size_t>(count);
        }
    }
    close(peer);
}

const char *needed(const char *name)
{
    const char *value = std::getenv(name);
    if (!value)
        throw std::runtime_error(std::string(name) + " is needed");
    return value;
}

// The first process of a container gets no signal that it does not handle.
void end(int)
{
    _exit(0);
}

}  // namespace

int main(int count, char **words)
try {
    if (count == 2 && std::string_view(words[1]) == "--version") {
        std::cout << "notes 1.0" << std::endl;
        return 0;
    }
    const auto port = static_cast<in_port_t>(std::stoul(needed("NOTES_PORT")));
    const notes::Store store(needed("NOTES_FOLDER"));
    const std::string token = needed("NOTES_TOKEN");
    sockaddr_in place{};
    place.sin_family = AF_INET;
    place.sin_port = htons(port);
    const int listener = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        bind(listener, reinterpret_cast<sockaddr *>(&place), sizeof place) != 0 || listen(listener, 64) != 0) {
        std::perror("notesd");
        return 1;
    }
    std::signal(SIGTERM, end);
    std::cout << "notesd: port " << port << ", notes in " << needed("NOTES_FOLDER") << std::endl;
    for (;;) {
        const int peer = accept(listener, nullptr, nullptr);
        if (peer < 0)
            continue;
        const timeval limit{30, 0};
        setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        std::thread(serve, peer, std::cref(store), std::cref(token)).detach();
    }
} catch (const std::exception &error) {
    std::cerr << "notesd: " << error.what() << std::endl;
    return 2;
}
