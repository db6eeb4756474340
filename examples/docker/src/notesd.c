/* A small HTTP server that keeps notes: an example, in place of which your program goes. One request a connection. */
#define _POSIX_C_SOURCE 200809L
#include "store.h"

#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { HEAD_MOST = 16384 };
static const char *folder, *token;

static void answer(int peer, const char *status, const char *text, size_t size)
{
    char head[256];
    int length = snprintf(head, sizeof head,
                          "HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n"
                          "Connection: close\r\n\r\n", status, size);
    if (send(peer, head, (size_t)length, MSG_NOSIGNAL) == length && size > 0)
        send(peer, text, size, MSG_NOSIGNAL);
}

/* The value of a header, without blanks before it; NULL where there is none. Lines end with \0 already. */
static const char *header(char **lines, const char *name)
{
    size_t size = strlen(name);
    for (; *lines; lines++)
        if (strncasecmp(*lines, name, size) == 0 && (*lines)[size] == ':')
            return *lines + size + 1 + strspn(*lines + size + 1, " ");
    return NULL;
}

static void note(int peer, const char *method, const char *key, char *body, size_t size)
{
    static const char none[] = "no such note";
    if (!store_good(key)) {
        answer(peer, "400 Bad Request", "bad key", 7);
    } else if (strcmp(method, "PUT") == 0) {
        const char *status = store_has(folder, key) ? "200 OK" : "201 Created";
        answer(peer, store_write(folder, key, body, size) == 0 ? status : "500 Internal Server Error", "", 0);
    } else if (strcmp(method, "GET") == 0) {
        char *text = malloc(NOTE_MOST);
        long read = text ? store_read(folder, key, text) : -1;
        answer(peer, read < 0 ? "404 Not Found" : "200 OK", read < 0 ? none : text, read < 0 ? strlen(none) : (size_t)read);
        free(text);
    } else if (strcmp(method, "DELETE") == 0) {
        int gone = store_remove(folder, key);
        answer(peer, gone == 0 ? "204 No Content" : "404 Not Found", "", 0);
    } else {
        answer(peer, "405 Method Not Allowed", "", 0);
    }
}

static void handle(int peer, char *data)
{
    size_t have = 0;
    char *end = NULL;
    while (!end && have < HEAD_MOST) {
        ssize_t got = recv(peer, data + have, HEAD_MOST - have, 0);
        if (got <= 0)
            return;
        have += (size_t)got;
        data[have] = '\0';
        end = strstr(data, "\r\n\r\n");
    }
    if (!end)
        return;
    char *body = end + 4, *lines[101] = {0}, *rest = NULL;
    size_t begun = have - (size_t)(body - data), wanted = 0, count = 0;
    *end = '\0';
    for (char *line = strtok_r(data, "\r\n", &rest); line && count < 100; line = strtok_r(NULL, "\r\n", &rest))
        lines[count++] = line;
    char *method = lines[0], *path = method ? strchr(method, ' ') : NULL;
    if (!path)
        return;
    *path++ = '\0';
    path[strcspn(path, " ?")] = '\0';
    const char *length = header(lines + 1, "Content-Length"), *given = header(lines + 1, "X-Token");
    for (; length && *length >= '0' && *length <= '9' && wanted <= NOTE_MOST; length++)
        wanted = wanted * 10 + (size_t)(*length - '0');
    if (wanted > NOTE_MOST) {
        answer(peer, "413 Payload Too Large", "", 0);
        return;
    }
    while (begun < wanted) {
        ssize_t got = recv(peer, body + begun, wanted - begun, 0);
        if (got <= 0)
            return;
        begun += (size_t)got;
    }
    if (strcmp(path, "/health") == 0)
        answer(peer, "200 OK", "good\n", 5);
    else if (!given || strcmp(given, token) != 0)
        answer(peer, "401 Unauthorized", "", 0);
    else if (strncmp(path, "/notes/", 7) == 0)
        note(peer, method, path + 7, body, wanted);
    else
        answer(peer, "404 Not Found", "", 0);
}

static void *serve(void *number)
{
    int peer = (int)(long)number;
    char *data = malloc(HEAD_MOST + NOTE_MOST + 1);
    if (data)
        handle(peer, data);
    free(data);
    close(peer);
    return NULL;
}

/* The first process of a container gets no signal that it does not handle. */
static void end(int signal)
{
    (void)signal;
    _exit(0);
}

int main(int count, char **words)
{
    if (count == 2 && strcmp(words[1], "--version") == 0)
        return puts("notes 1.0") < 0;
    const char *port = getenv("NOTES_PORT");
    folder = getenv("NOTES_FOLDER");
    token = getenv("NOTES_TOKEN");
    if (!port || !folder || !token) {
        fputs("notesd: NOTES_PORT, NOTES_FOLDER and NOTES_TOKEN are needed\n", stderr);
        return 2;
    }
    unsigned number = 0;
    for (const char *digit = port; *digit >= '0' && *digit <= '9' && number < 65536; digit++)
        number = number * 10 + (unsigned)(*digit - '0');
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons((unsigned short)number)};
    int listener = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        bind(listener, (struct sockaddr *)&place, sizeof place) != 0 || listen(listener, 64) != 0) {
        perror("notesd");
        return 1;
    }
    struct sigaction action = {.sa_handler = end};
    sigaction(SIGTERM, &action, NULL);
    printf("notesd: port %s, notes in %s\n", port, folder);
    fflush(stdout);
    for (;;) {
        struct timeval limit = {.tv_sec = 30};
        pthread_t thread;
        int peer = accept(listener, NULL, NULL);
        if (peer < 0)
            continue;
        setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        if (pthread_create(&thread, NULL, serve, (void *)(long)peer) == 0)
            pthread_detach(thread);
        else
            close(peer);
    }
}
