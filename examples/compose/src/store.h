/* Notes in files of a folder. Keys have letters, digits and dashes. */
#ifndef STORE_H
#define STORE_H
#include <stddef.h>

enum { NOTE_MOST = 65536 };

/* 0: stored and on the disk; -1: not, errno says why. */
int store_write(const char *folder, const char *key, const char *text, size_t size);
/* Size of the note, of which at most NOTE_MOST bytes are in text; -1: there is none. */
long store_read(const char *folder, const char *key, char *text);
/* Whether there is such a note. */
int store_has(const char *folder, const char *key);
/* 0: removed; -1: there was none. */
int store_remove(const char *folder, const char *key);
/* Whether a key may be the name of a file. */
int store_good(const char *key);
#endif
