#define _POSIX_C_SOURCE 200809L
#include "store.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int store_good(const char *key)
{
    size_t size = strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-");
    return size > 0 && size <= 64 && key[size] == '\0';
}

int store_write(const char *folder, const char *key, const char *text, size_t size)
{
    char name[512], part[512];
    if (snprintf(name, sizeof name, "%s/%s", folder, key) >= (int)sizeof name ||
        snprintf(part, sizeof part, "%s/.%s.XXXXXX", folder, key) >= (int)sizeof part)
        return -1;
    int file = mkstemp(part);
    if (file < 0)
        return -1;
    int good = write(file, text, size) == (ssize_t)size && fsync(file) == 0;
    good = close(file) == 0 && good;
    if (!good || rename(part, name) != 0) {
        unlink(part);
        return -1;
    }
    int place = open(folder, O_RDONLY | O_DIRECTORY);
    if (place >= 0) { /* the name is on the disk too */
        fsync(place);
        close(place);
    }
    return 0;
}

long store_read(const char *folder, const char *key, char *text)
{
    char name[512];
    if (snprintf(name, sizeof name, "%s/%s", folder, key) >= (int)sizeof name)
        return -1;
    int file = open(name, O_RDONLY);
    if (file < 0)
        return -1;
    long size = (long)read(file, text, NOTE_MOST);
    close(file);
    return size;
}

int store_has(const char *folder, const char *key)
{
    char name[512];
    return snprintf(name, sizeof name, "%s/%s", folder, key) < (int)sizeof name && access(name, F_OK) == 0;
}

int store_remove(const char *folder, const char *key)
{
    char name[512];
    if (snprintf(name, sizeof name, "%s/%s", folder, key) >= (int)sizeof name)
        return -1;
    return unlink(name);
}
